"""Every accepted job ends in exactly one outcome, and the books balance at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import PoolStats, QueueFull, Retry, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_queue import in_thread


def test_a_new_pool_s_books(make_pool: Callable[..., Any]) -> None:
    stats = make_pool(3, queue_size=7, name="books").stats()
    assert isinstance(stats, PoolStats)
    assert (stats.name, stats.max_workers, stats.capacity, stats.queue_size) == ("books", 3, 3, 7)
    assert (stats.accepted, stats.ended, stats.stuck, stats.rejected) == (0, 0, 0, 0)


def test_each_place_of_a_job(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    [(_, actor)] = stage.occupy(pool)
    pool.submit(jobs.nothing)
    stats = pool.stats()
    assert (stats.accepted, stats.running, stats.waiting) == (2, 1, 1)
    [row] = stats.worker_rows
    assert row.task == "tests.pools.contract.jobs.act" and row.running_for > 0 and row.job_id is not None
    actor.tell("return")


def test_the_books_are_right_when_a_waiter_wakes(pool: Any) -> None:
    for number in range(200):
        pool.submit(jobs.nothing).result(WAIT)
        stats = pool.stats()
        assert (stats.succeeded, stats.accepted) == (number + 1, number + 1)


def submit_all_sorts(pool: Any) -> list[Any]:
    """Submit jobs of many sorts, and cancel some."""
    again = task(jobs.fail_if_odd, retry=Retry(2, backoff=0.001))
    batch = []
    for number in range(300):
        batch.append(pool.submit((jobs.same, again, jobs.fail_if_odd)[number % 3], number))
        if number % 7 == 0:
            batch[-1].cancel()
        try:
            batch.append(pool.try_submit(task(jobs.same, priority=number % 5), number))
        except QueueFull:
            pass
    return batch


def look(pool: Any, stop: threading.Event) -> list[PoolStats]:
    """Read the books until asked to stop; returns those that were wrong."""
    wrong = []
    last = 0
    while not stop.is_set():
        stats = pool.stats()
        counts = (stats.waiting, stats.running, stats.retrying, stats.ended, stats.accepted - last)
        if not stats.balanced or min(counts) < 0 or stats.running > 4:
            wrong.append(stats)
        last = stats.accepted
    return wrong


def test_they_balance_at_any_moment_under_load(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4, queue_size=50)
    stop = threading.Event()
    producers, looker = (
        [in_thread(lambda: submit_all_sorts(pool)) for _ in range(3)],
        in_thread(lambda: look(pool, stop)),
    )
    futures = []
    for thread, ended in producers:
        thread.join(WAIT)
        futures += ended[0]
    report = pool.drain(WAIT)
    stop.set()
    looker[0].join(WAIT)
    assert looker[1] == [[]]
    assert all(future.done() for future in futures)
    outcomes = [future.outcome.value for future in futures]
    for outcome in set(outcomes):
        assert getattr(report.stats, outcome) == outcomes.count(outcome)
    for future in futures:
        future.cancelled() or future.exception()


@pytest.mark.parametrize("how", ["submit", "try_submit"])
def test_a_refused_job_was_never_accepted(make_pool: Callable[..., Any], stage: Stage, how: str) -> None:
    pool = make_pool(1, queue_size=1, on_full="reject")
    stage.occupy(pool)
    pool.submit(jobs.nothing)
    for _ in range(3):
        with pytest.raises(QueueFull):
            getattr(pool, how)(jobs.nothing)
    assert (pool.stats().accepted, pool.stats().rejected) == (2, 3)
