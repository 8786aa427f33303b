"""A job that waits for its own pool lends its place; however that ends, the place comes back once."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from typing import Any

import pytest

from steadypool import JobFuture, Outcome, ThreadPool, task
from tests.patience import WAIT
from tests.races.arena import pool_of

pytestmark = pytest.mark.usefixtures("switching")


def assert_capacity(pool: ThreadPool, expected: int) -> None:
    """Exactly *expected* jobs run at a time: that many can meet, and one more does not start beside them."""
    meet = threading.Barrier(expected + 1)
    hold = threading.Event()
    extra = threading.Event()

    def occupy() -> None:
        meet.wait(WAIT)
        hold.wait(WAIT)

    occupying = [pool.submit(occupy) for _ in range(expected)]
    meet.wait(WAIT)
    one_more = pool.submit(extra.set)
    # Were there a place too many, its worker would be started, or woken, by that submit.
    started = extra.wait(0.2)
    hold.set()
    wait([*occupying, one_more], WAIT)
    assert not started, f"{expected + 1} jobs ran at a time in a pool of {expected}"


@pytest.mark.parametrize("how", ["result", "wait"])
def test_a_lender_that_is_left_behind(how: str) -> None:
    """Its time limit passes while it waits for another job; it goes on when that one has ended."""
    release = threading.Event()
    inner: list[JobFuture[Any]] = []
    ended = threading.Event()

    @task(timeout=0.05)
    def outer() -> None:
        inner.append(pool.submit(release.wait, WAIT))
        if how == "result":
            inner[0].result(WAIT)
        else:
            wait(inner, WAIT)
        ended.set()

    with pool_of(1, cancel_grace=0.0) as pool:
        left = threading.Event()
        pool.subscribe(lambda event: left.set() if type(event).__name__ == "WorkerAbandoned" else None)
        future = pool.submit(outer)
        assert future.exception(WAIT) is not None and future.outcome is Outcome.TIMED_OUT
        assert left.wait(WAIT)
        # The inner job has the only place now, whatever the one left behind does.
        beside = threading.Event()
        other = pool.submit(beside.set)
        assert not beside.wait(0.2), "two jobs ran at a time in a pool of one"
        release.set()
        assert ended.wait(WAIT)
        other.result(WAIT)
        assert_capacity(pool, 1)


def test_a_nested_submit_that_runs_in_its_caller_may_wait_for_the_pool() -> None:
    """The caller is a worker itself: it lends its place as it does in its own job."""

    def inner(first: JobFuture[str]) -> str:
        return first.result(WAIT)

    def outer() -> str:
        first = pool.submit(str, "first")
        return pool.submit(inner, first).result(WAIT)

    with pool_of(1, queue_size=1, on_full="caller_runs") as pool:
        assert pool.submit(outer).result(WAIT) == "first"
        assert_capacity(pool, 1)


@pytest.mark.parametrize("how", ["result", "wait"])
def test_many_levels_and_back(how: str) -> None:
    """A recursive job as deep as there are spare workers, a hundred times: then the pool is as it was."""

    def descend(level: int) -> int:
        if level == 0:
            return 0
        below = pool.submit(descend, level - 1)
        if how == "wait":
            wait([below], WAIT)
        return below.result(WAIT) + 1

    with pool_of(2) as pool:
        for _ in range(100):
            assert pool.submit(descend, 10).result(WAIT) == 10
        assert_capacity(pool, 2)


@pytest.mark.parametrize("how", ["result", "wait"])
def test_being_told_of_a_deadlock_costs_no_place(how: str) -> None:
    """Deeper than there are spare workers: the last one is told, all end, and the pool is as it was."""
    told: list[BaseException] = []

    def descend(level: int) -> None:
        below = pool.submit(descend, level + 1)
        try:
            if how == "wait":
                wait([below], WAIT)
            else:
                below.result(WAIT)
        except RuntimeError as error:
            told.append(error)
            below.cancel()

    with pool_of(1) as pool:
        pool.submit(descend, 0).result(WAIT)
        assert len(told) == 1 and "no worker is left to run them" in str(told[0])
        assert_capacity(pool, 1)
