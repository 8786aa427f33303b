"""The table of states: every move there is, legal or not."""

from __future__ import annotations

import itertools

import pytest

from steadypool import Outcome, PoolState
from steadypool.model.errors import InternalError
from steadypool.model.events import ENDINGS
from steadypool.model.reports import PoolStats
from steadypool.model.states import MOVES, NEVER_LOOKED_AT, move

LEGAL = {
    (PoolState.OPEN, PoolState.DRAINING),
    (PoolState.DRAINING, PoolState.CANCELLING),
    (PoolState.DRAINING, PoolState.CLOSED),
    (PoolState.CANCELLING, PoolState.CLOSED),
}
ALL = set(itertools.product(PoolState, PoolState))


@pytest.mark.parametrize(("state", "to"), sorted(LEGAL))
def test_a_legal_move(state: PoolState, to: PoolState) -> None:
    assert move(state, to) is to


@pytest.mark.parametrize(("state", "to"), sorted(ALL - LEGAL))
def test_an_illegal_move_raises_and_says_which(state: PoolState, to: PoolState) -> None:
    with pytest.raises(InternalError, match=f"from {state.value} to {to.value}"):
        move(state, to)


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(PoolState)


def test_every_outcome_has_an_event_and_a_count() -> None:
    assert set(ENDINGS) == set(Outcome)
    assert len(set(ENDINGS.values())) == len(Outcome)
    assert {outcome.value for outcome in Outcome} <= set(PoolStats.__dataclass_fields__)


def test_only_failures_are_reported_when_nobody_looked() -> None:
    assert {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED} == NEVER_LOOKED_AT
