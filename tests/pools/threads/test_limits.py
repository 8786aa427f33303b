"""A job that waits for one that its own limit holds back gets an error, or at least a drain ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobCancelled, Limit, Outcome, WouldDeadlock, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT


def test_a_wait_for_a_job_of_one_s_own_limit(make_pool: Callable[..., Any]) -> None:
    pool, one = make_pool(3), Limit("nested-one", running=1)
    inner: list[Any] = []

    def outer() -> Any:
        inner.append(pool.submit(task(jobs.same, limit=one), 1))
        return inner[0].result(WAIT)

    with pytest.raises(WouldDeadlock, match="would wait for itself"):
        pool.submit(task(outer, limit=one)).result(WAIT)
    assert inner[0].result(WAIT) == 1


def test_all_who_hold_a_limit_wait_for_the_jobs_that_it_holds_back(make_pool: Callable[..., Any]) -> None:
    pool, two = make_pool(4), Limit("nested-two", running=2)
    together = threading.Barrier(2)

    def outer() -> Any:
        together.wait(WAIT)
        return pool.submit(task(jobs.same, limit=two), 1).result(WAIT)

    ended = [future.exception(WAIT) for future in [pool.submit(task(outer, limit=two)) for _ in range(2)]]
    assert sorted(type(error).__name__ for error in ended) == ["NoneType", "WouldDeadlock"]


def test_a_place_that_another_job_will_free_is_waited_for(make_pool: Callable[..., Any]) -> None:
    pool, two = make_pool(4), Limit("nested-free", running=2)
    waits, goes = threading.Event(), threading.Event()
    holder = pool.submit(task(lambda: (waits.set(), goes.wait(WAIT)), limit=two))
    assert waits.wait(WAIT)

    def outer() -> Any:
        inner = pool.submit(task(jobs.same, limit=two), 1)
        goes.set()
        return inner.result(WAIT)

    assert pool.submit(task(outer, limit=two)).result(WAIT) == 1 and holder.result(WAIT)


def test_a_drain_ends_what_is_not_seen(make_pool: Callable[..., Any]) -> None:
    """A pool sees no wait that does not come by it."""
    pool, one = make_pool(3, cancel_grace=WAIT), Limit("nested-unseen", running=1)
    inner: list[Any] = []
    submitted, ended = threading.Event(), threading.Event()

    def outer() -> Any:
        inner.append(pool.submit(task(jobs.same, limit=one), 1))
        inner[0].add_done_callback(lambda _: ended.set())
        submitted.set()
        ended.wait(WAIT)
        try:
            return inner[0].result()
        except JobCancelled as error:
            return error.cause

    waits = pool.submit(task(outer, limit=one))
    assert submitted.wait(WAIT)
    report = pool.drain(0.01)
    assert inner[0].outcome is Outcome.RETURNED and waits.result(WAIT) == "shutdown"
    assert report.stats.balanced and not report.stuck
