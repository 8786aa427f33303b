"""A resize against submits, ends and other resizes: no job is forgotten, no place is lost or gained."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from steadypool import JobFuture, ThreadPool
from steadypool.model.events import CapacityChanged, Event, WorkerEnded
from tests.patience import WAIT
from tests.races.arena import duel, pool_of
from tests.races.books import check_final, check_sample

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 500


def noop() -> None:
    pass


def test_submit_against_shrinking() -> None:
    """The worker that a submit has woken may be the one that leaves: another must take the job."""
    futures: list[JobFuture[Any]] = []
    both = threading.Barrier(2)

    def prepare(_: int) -> ThreadPool:
        pool.resize(2)
        # Two jobs that wait for each other: both workers are there, and idle afterwards.
        futures.extend(pool.submit(both.wait, WAIT) for _ in range(2))
        for future in futures[-2:]:
            future.result(WAIT)
        return pool

    def submit(pool: ThreadPool) -> JobFuture[None]:
        return pool.submit(noop)

    def check(pool: ThreadPool, results: list[Any]) -> None:
        futures.append(results[0])
        assert results[0].result(WAIT) is None

    with pool_of(2) as pool:
        duel(ROUNDS, prepare, (submit, lambda p: p.resize(1)), check)
    check_final(pool.stats(), futures)


def test_submit_against_growing() -> None:
    futures: list[JobFuture[Any]] = []

    def check(_: Any, results: list[Any]) -> None:
        futures.extend(results[:2])
        for future in results[:2]:
            assert future.result(WAIT) is None
        pool.resize(1)

    with pool_of(1) as pool:
        duel(
            ROUNDS,
            lambda _: pool,
            (lambda p: p.submit(noop), lambda p: p.submit(noop), lambda p: p.resize(3)),
            check,
        )
    check_final(pool.stats(), futures)


def test_resizes_against_each_other_under_load() -> None:
    """However they come: never more jobs run than the largest size, and the last size is the one that holds."""
    running = threading.Semaphore(4)
    too_many: list[int] = []
    chance = random.Random(1)

    def body() -> None:
        if not running.acquire(blocking=False):
            too_many.append(1)
            return
        for _ in range(chance.randrange(200)):
            pass
        running.release()

    def resize_often(pool: ThreadPool) -> None:
        for size in (1, 4, 2, 3):
            pool.resize(size)

    def check(pool: ThreadPool, _: list[Any]) -> None:
        check_sample_of_any_size = pool.stats()
        assert check_sample_of_any_size.balanced and check_sample_of_any_size.waiting >= 0

    futures: list[JobFuture[Any]] = []

    def submit_some(pool: ThreadPool) -> None:
        futures.extend(pool.submit(body) for _ in range(20))

    with pool_of(4) as pool:
        duel(ROUNDS // 4, lambda _: pool, (resize_often, resize_often, submit_some), check)
        for future in futures:
            future.result(WAIT)
        pool.resize(3)
        meet = threading.Barrier(3)
        futures += [pool.submit(meet.wait, WAIT) for _ in range(3)]
        for future in futures[-3:]:
            future.result(WAIT)
        check_sample(pool.stats())
        assert pool.stats().capacity == pool.stats().max_workers == 3
    assert not too_many
    check_final(pool.stats(), futures)


def test_a_worker_that_leaves_passes_on_what_it_was_woken_for() -> None:
    """The same as above, with the moment between the resize's two steps held open by a slow sink."""
    meet = threading.Barrier(2)
    gone = threading.Event()
    futures: list[JobFuture[Any]] = []
    with pool_of(2) as pool:
        futures += [pool.submit(meet.wait, WAIT) for _ in range(2)]
        for future in futures:
            future.result(WAIT)

        def slow_sink(event: Event) -> None:
            if isinstance(event, WorkerEnded):
                gone.set()
            elif isinstance(event, CapacityChanged) and event.max_workers == 1:
                futures.append(pool.submit(noop))
                gone.wait(WAIT)

        unsubscribe = pool.subscribe(slow_sink)
        pool.resize(1)
        unsubscribe()
        assert futures[-1].result(WAIT) is None
    check_final(pool.stats(), futures)
