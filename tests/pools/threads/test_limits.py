"""A job that waits for one that its own limit holds back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from steadypool import JobCancelled, Limit, Outcome, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT


def test_a_drain_ends_though_a_job_waits_for_one_that_its_own_limit_holds_back(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(3, cancel_grace=0.05)
    one = Limit("nested-limit", running=1)
    inner: list[Any] = []
    submitted = threading.Event()

    def outer() -> Any:
        inner.append(pool.submit(task(jobs.same, limit=one), 1))
        submitted.set()
        try:
            return inner[0].result(WAIT)
        except JobCancelled as error:
            return error.cause

    waits = pool.submit(task(outer, limit=one))
    assert submitted.wait(WAIT)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    report = pool.drain(0.01)
    assert inner[0].outcome is Outcome.RETURNED and waits.result(WAIT) == "shutdown"
    assert report.stats.balanced and not report.stuck
