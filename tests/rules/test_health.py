"""Whether a pool is alive and ready."""

from __future__ import annotations

import itertools

import pytest

from steadypool import PoolState
from steadypool.model.health import FATAL, HealthReason
from steadypool.rules.health import LOOP_PATIENCE, is_alive, reasons_not_ready

WELL = {"forked": False, "broken": False, "capacity": 1, "loop_lag": 0.0}


@pytest.mark.parametrize(
    ("state", "facts", "reasons", "alive"),
    [
        (PoolState.OPEN, {}, [], True),
        (PoolState.OPEN, {"loop_lag": LOOP_PATIENCE * 0.9}, [], True),
        (PoolState.OPEN, {"loop_lag": LOOP_PATIENCE}, [HealthReason.LOOP_BLOCKED], False),
        (PoolState.OPEN, {"loop_lag": None}, [HealthReason.LOOP_ENDED], False),
        (PoolState.OPEN, {"capacity": 0}, [HealthReason.ALL_STUCK], False),
        (PoolState.OPEN, {"broken": True}, [HealthReason.BROKEN], False),
        (PoolState.OPEN, {"forked": True, "capacity": 0}, [HealthReason.FORKED], True),
        (PoolState.DRAINING, {}, [HealthReason.DRAINING], True),
        (PoolState.DRAINING, {"capacity": 0}, [HealthReason.DRAINING, HealthReason.ALL_STUCK], False),
        (PoolState.CANCELLING, {"capacity": 0}, [HealthReason.CANCELLING], True),
        (PoolState.CLOSED, {}, [HealthReason.CLOSED], True),
        (PoolState.CLOSED, {"capacity": 0, "loop_lag": None}, [HealthReason.CLOSED], True),
        (PoolState.CLOSED, {"broken": True}, [HealthReason.CLOSED, HealthReason.BROKEN], False),
    ],
)
def test_why_a_pool_is_not_ready(
    state: PoolState, facts: dict[str, object], reasons: list[HealthReason], alive: bool
) -> None:
    found = reasons_not_ready(state, **{**WELL, **facts})  # type: ignore[arg-type]
    assert list(found) == reasons
    assert is_alive(found) is alive


def test_only_an_open_pool_is_ever_ready() -> None:
    for state, forked, broken, capacity, lag in itertools.product(
        PoolState, (False, True), (False, True), (0, 1), (None, 0.0, 9.0)
    ):
        found = reasons_not_ready(state, forked=forked, broken=broken, capacity=capacity, loop_lag=lag)
        assert found or state is PoolState.OPEN
        assert is_alive(found) or FATAL & set(found)
