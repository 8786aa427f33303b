"""A test freezes the clock, or sets it: what the pool has to do in time it does all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import freezegun
import pytest
import time_machine

from steadypool import JobTimeout, Retry, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

LONG_AGO = "2024-01-01"


@pytest.fixture(params=["freezegun", "time-machine"])
def clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """The clock stands still."""
    frozen: Any = freezegun.freeze_time if request.param == "freezegun" else time_machine.travel
    with frozen(LONG_AGO, tick=False):
        yield


@pytest.mark.usefixtures("clock")
def test_retries_come(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    pool = make_pool(1)
    future = pool.submit(task(jobs.fail_until, retry=Retry(3, on=OSError, backoff=0.02)), str(tmp_path / "notes"), 3)
    assert future.result(WAIT) == 3


@pytest.mark.usefixtures("clock")
def test_limits_ring_and_a_drain_ends(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.05)
    # It is not waited for on the stage: on a busy machine it may be killed before it has come there.
    future = pool.submit(task(jobs.act, timeout=0.2), stage.address, "has a limit")
    assert isinstance(future.exception(WAIT), JobTimeout)
    pool.submit(jobs.act, stage.address, "has none")
    while stage.enter().name != "has none":
        pass
    report = pool.drain(0.1)
    assert len(report.interrupted) == 1 and report.elapsed >= 0.1
