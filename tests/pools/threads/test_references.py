"""Nothing is kept alive longer than the standard library keeps it."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Retry, task
from tests.patience import eventually
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class Thing:
    """Something that can be weakly referred to."""


@pytest.fixture(autouse=True)
def no_collector() -> Any:
    """Freed means freed at once, without the garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def freed(reference: weakref.ref[Any], pool: Any) -> bool:
    """Whether it is gone once the worker has come to rest."""
    pool.submit(jobs.nothing).result(WAIT)
    return reference() is None


OPTIONS = pytest.mark.parametrize(
    "options", [{}, {"timeout": 100}, {"total_timeout": 100}, {"retry": Retry(2, backoff=0)}, {"priority": 3}],
    ids=lambda options: next(iter(options), "plain"),
)  # fmt: skip


@OPTIONS
def test_arguments_are_freed_when_the_job_has_ended(make_pool: Callable[..., Any], options: dict[str, Any]) -> None:
    pool = make_pool(1)
    thing = Thing()
    gone = weakref.ref(thing)
    future = pool.submit(task(lambda _: None, **options), thing)
    future.result(WAIT)
    del thing
    assert freed(gone, pool)


@OPTIONS
def test_the_result_and_the_future_are_freed(make_pool: Callable[..., Any], options: dict[str, Any]) -> None:
    pool = make_pool(1)
    future = pool.submit(task(Thing, **options))
    result_gone, future_gone = weakref.ref(future.result(WAIT)), weakref.ref(future)
    del future
    assert freed(future_gone, pool) and freed(result_gone, pool)


def test_a_failed_future_is_freed(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    future = pool.submit(jobs.fail)
    future.exception(WAIT)
    gone = weakref.ref(future)
    del future
    assert freed(gone, pool)


def test_a_failed_future_whose_result_was_asked_is_freed(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    future = pool.submit(jobs.fail)
    try:
        future.result(WAIT)
    except ValueError:
        pass
    gone = weakref.ref(future)
    del future
    assert freed(gone, pool)


def test_a_cancelled_job_is_freed(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    [(_, actor)] = stage.occupy(pool)
    thing = Thing()
    future = pool.submit(task(jobs.same, total_timeout=100), thing)
    gone, thing_gone = weakref.ref(future), weakref.ref(thing)
    future.cancel()
    del future, thing
    actor.tell("return")
    assert freed(gone, pool) and freed(thing_gone, pool)


def test_a_closed_pool_is_freed_with_its_threads(kind: Any) -> None:
    before = threading.active_count()
    for _ in range(20):
        pool = kind.make(2)
        pool.submit(jobs.nothing)
        pool.shutdown()
        gone = weakref.ref(pool)
        del pool
        assert gone() is None
    eventually(lambda: threading.active_count() <= before)


def test_memory_of_jobs_that_wait_is_bounded_by_the_queue(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=10, on_full="discard_oldest")
    [(_, actor)] = stage.occupy(pool)
    things = [Thing() for _ in range(200)]
    alive = weakref.WeakSet(things)
    while things:
        pool.submit(jobs.same, things.pop())
    assert len(alive) <= 11
    actor.tell("return")


def test_total_limits_of_ended_jobs_do_not_pile_up(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    limited = task(jobs.same, total_timeout=10_000, timeout=10_000)
    blocks = []
    for _ in range(3):
        for _ in range(20):
            for future in [pool.submit(limited, 1) for _ in range(50)]:
                future.result(WAIT)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert blocks[2] - blocks[1] < 1000
