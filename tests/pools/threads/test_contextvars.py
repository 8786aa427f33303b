"""The submitter's context variables reach the job, and nothing comes back or leaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from steadypool import Retry, current_job, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def read_and_change() -> str:
    """Return the variable, and change it."""
    before = tenant.get()
    tenant.set("the job")
    return before


def test_each_submit_takes_its_own(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    assert pool.submit(read_and_change).result(WAIT) == "nobody"
    token = tenant.set("a")
    try:
        first = pool.submit(read_and_change)
        tenant.set("b")
        second = pool.submit(read_and_change)
        ranked = pool.submit(task(read_and_change, priority=1, timeout=100))
        assert [f.result(WAIT) for f in (first, second, ranked)] == ["a", "b", "b"]
        assert list(pool.map(lambda _: read_and_change(), range(3))) == ["b"] * 3
        assert asyncio.run(pool.run(read_and_change)) == "b"
        assert tenant.get() == "b"
    finally:
        tenant.reset(token)
    assert pool.submit(read_and_change).result(WAIT) == "nobody"


def test_a_retried_attempt_sees_it_fresh(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    seen: list[str] = []

    def fail() -> None:
        seen.append(read_and_change())
        raise OSError

    pool.submit(task(fail, retry=Retry(3, backoff=0))).exception(WAIT)
    assert seen == ["nobody"] * 3


def test_caller_runs_does_not_change_the_caller_s(make_pool: Callable[..., Any], stage: Any) -> None:
    pool = make_pool(1, queue_size=1, on_full="caller_runs")
    stage.occupy(pool)
    pool.submit(jobs.nothing)
    assert pool.submit(read_and_change).result(WAIT) == "nobody"
    assert tenant.get() == "nobody"
    assert not current_job()


def test_a_thread_that_a_job_starts_is_in_no_job(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    seen: list[bool] = []

    def start_thread() -> None:
        thread = threading.Thread(target=lambda: seen.append(bool(current_job())))
        thread.start()
        thread.join()

    pool.submit(start_thread).result(WAIT)
    assert seen == [False]
