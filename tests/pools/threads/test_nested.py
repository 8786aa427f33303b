"""A job that submits to its own pool, or waits for it, is let in or told: never deadlocked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import pytest

from steadypool import PoolState
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


@pytest.mark.parametrize("on_full", ["block", "caller_runs"])
def test_a_job_that_submits_to_its_full_pool_is_let_in(make_pool: Callable[..., Any], on_full: str) -> None:
    pool = make_pool(1, queue_size=1, on_full=on_full)

    def parent() -> list[Any]:
        return [pool.submit(jobs.same, number) for number in range(20)]

    assert [future.result(WAIT) for future in pool.submit(parent).result(WAIT)] == list(range(20))


def test_submit_within_in_a_job_of_the_full_pool(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, queue_size=1)

    def parent() -> list[Any]:
        return [pool.submit_within(600, jobs.same, number) for number in range(20)]

    assert [future.result(WAIT) for future in pool.submit(parent).result(WAIT)] == list(range(20))


WAITS = {
    "result": lambda pool, fn, n: pool.submit(fn, n).result(),
    "exception": lambda pool, fn, n: (f := pool.submit(fn, n)).exception() or f.result(),
    "map": lambda pool, fn, n: next(iter(pool.map(fn, [n]))),
    "map_unordered": lambda pool, fn, n: next(iter(pool.map_unordered(fn, [n]))),
    "group": lambda pool, fn, n: in_group(pool, fn, n),
    "wait": lambda pool, fn, n: futures.wait([pool.submit(fn, n)]).done.pop().result(),
    "as_completed": lambda pool, fn, n: next(futures.as_completed([pool.submit(fn, n)])).result(),
    "asyncio": lambda pool, fn, n: asyncio.run(pool.run(fn, n)),
}


def in_group(pool: Any, fn: Any, number: int) -> Any:
    """The result of one job of a group."""
    with pool.group() as group:
        future = group.submit(fn, number)
    return future.result()


@pytest.mark.parametrize("how", [name for name in WAITS if name != "asyncio"])
@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_waits_for_its_own_pool(make_pool: Callable[..., Any], how: str, workers: int) -> None:
    pool = make_pool(workers, queue_size=2)
    together = threading.Barrier(workers)

    def parent(number: int) -> Any:
        together.wait(WAIT)
        return WAITS[how](pool, jobs.double, number)

    parents = [pool.submit(parent, number) for number in range(workers)]
    assert [future.result(WAIT) for future in parents] == [2 * number for number in range(workers)]
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    pool.drain(WAIT)
    assert pool.stats().workers <= workers


def test_every_worker_awaits_its_own_pool_on_a_loop_of_its_own(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, queue_size=2)
    together = threading.Barrier(2)

    def parent(number: int) -> Any:
        together.wait(WAIT)
        return WAITS["asyncio"](pool, jobs.double, number)

    parents = [pool.submit(parent, number) for number in range(2)]
    for number, future in enumerate(parents):
        error = future.exception(WAIT / 2)
        assert isinstance(error, RuntimeError) or future.result() == 2 * number


@pytest.mark.parametrize("how", ["result", "map", "group", "wait"])
def test_many_levels_deep(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(1)

    def nest(depth: int) -> int:
        return 0 if depth == 0 else WAITS[how](pool, nest, depth - 1) + 1

    assert pool.submit(nest, 20).result(WAIT) == 20


def test_without_end_it_is_told(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)

    def nest() -> Any:
        return pool.submit(nest).result()

    with pytest.raises(RuntimeError, match="wait"):
        pool.submit(nest).result(WAIT)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


def test_a_job_that_waits_for_itself_is_told(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    handed = threading.Event()
    own: list[Any] = []

    def wait_for_itself() -> Any:
        handed.wait(WAIT)
        return own[0].result()

    own.append(pool.submit(wait_for_itself))
    handed.set()
    with pytest.raises(RuntimeError, match="itself"):
        own[0].result(WAIT)


@pytest.mark.parametrize("count", [2, 3])
def test_jobs_that_wait_for_each_other_are_told(make_pool: Callable[..., Any], count: int) -> None:
    pool = make_pool(count)
    handed = threading.Event()
    circle: list[Any] = []

    def wait_for(number: int) -> Any:
        handed.wait(WAIT)
        return circle[number].result()

    circle.extend(pool.submit(wait_for, (number + 1) % count) for number in range(count))
    handed.set()
    for future in circle:
        assert isinstance(future.exception(WAIT), RuntimeError)


def test_jobs_that_wait_for_each_other_with_a_time_limit_get_out(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    handed = threading.Event()
    circle: list[Any] = []

    def wait_for(number: int) -> Any:
        handed.wait(WAIT)
        try:
            return circle[number].result(0.1)
        except (TimeoutError, RuntimeError):
            return "got out"

    circle.extend(pool.submit(wait_for, (number + 1) % 2) for number in range(2))
    handed.set()
    assert "got out" in [future.result(WAIT) for future in circle]


def test_a_circle_through_a_waiting_job_is_let_through(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)

    def parent() -> Any:
        return [f.result() for f in [pool.submit(jobs.same, n) for n in range(5)]]

    parents = [pool.submit(parent) for _ in range(10)]
    assert [future.result(WAIT) for future in parents] == [[0, 1, 2, 3, 4]] * 10


def test_resizing_down_while_jobs_wait_for_their_pool(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)

    def parent(name: str) -> Any:
        return pool.submit(jobs.act, stage.address, name).result()

    parents = [pool.submit(parent, name) for name in "ab"]
    actors = stage.enter_many(2)
    pool.resize(1)
    for actor in actors.values():
        actor.tell("return")
    assert [future.result(WAIT) for future in parents] == ["a", "b"]
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


@pytest.mark.parametrize("call", ["drain", "shutdown"])
def test_waiting_for_the_end_in_a_job_is_refused(make_pool: Callable[..., Any], call: str) -> None:
    pool = make_pool(2)
    error = pool.submit(lambda: getattr(pool, call)()).exception(WAIT)
    assert isinstance(error, RuntimeError)
    assert "request_drain" in str(error) or "wait=False" in str(error)
    assert pool.state is PoolState.OPEN


def test_request_drain_in_a_job(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)

    def last() -> Any:
        queued = pool.submit(jobs.same, 1)
        pool.request_drain(WAIT)
        return queued

    queued = pool.submit(last).result(WAIT)
    assert pool.drain().ok and queued.result() == 1


def test_a_job_that_ends_another_pool(make_pool: Callable[..., Any]) -> None:
    pool, other = make_pool(1), make_pool(1)
    other.submit(jobs.nothing)
    assert pool.submit(other.drain, WAIT).result(WAIT).ok
