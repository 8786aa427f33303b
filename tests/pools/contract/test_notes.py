"""What has not ended with the pool is named in its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import task
from tests.patience import WAIT
from tests.pools.contract import hangs, jobs
from tests.pools.contract.stage import Stage

pytestmark = pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")


@pytest.fixture(autouse=True)
def over() -> Iterator[None]:
    """What hangs goes on when the test is over."""
    hangs.GATE.clear()
    hangs.ENTERED.clear()
    yield
    hangs.GATE.set()


def test_a_callback_of_a_job_that_was_timed_out(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    _, before = stage.start(pool)
    future = pool.submit(task(jobs.act, timeout=0.1), stage.address, "x")
    future.add_done_callback(lambda _: hangs.hold())  # before it begins: once it has ended, this thread would call it
    before.tell("return")
    assert hangs.ENTERED.wait(WAIT)
    report = pool.drain(0.5)
    hangs.GATE.set()
    (note,) = [note for note in report.notes if "callback" in note]
    assert future.job_id in note and "in hold" in note
    assert "note: " in str(report)


def test_a_callback_that_its_worker_runs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    future, actor = stage.start(pool)
    future.add_done_callback(lambda _: hangs.hold())
    actor.tell("return")
    assert hangs.ENTERED.wait(WAIT)
    report = pool.drain(0.5)
    hangs.GATE.set()
    assert any("in hold" in note for note in report.notes), report
