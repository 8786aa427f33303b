"""`map(..., return_exceptions=True)`: a map that goes on after a failure, with each item's exception in its place."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from steadypool import JobExit, JobTimeout, PoolClosed, WorkerCrashed, task
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_map import BOTH, Counted, stage_job


def plain(results: Iterator[Any]) -> list[Any]:
    """Results as they are, exceptions as their text."""
    return [str(one) if isinstance(one, Exception) else one for one in results]


@pytest.mark.parametrize("chunksize", [1, 7])
def test_an_exception_stands_in_its_item_s_place(pool: Any, chunksize: int) -> None:
    results = pool.map(jobs.fail_if_odd, range(30), chunksize=chunksize, return_exceptions=True)
    assert plain(results) == [f"{number} is odd" if number % 2 else number for number in range(30)]
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded, stats.failed) == (30, 15, 15)


@pytest.mark.parametrize("chunksize", [1, 7])
def test_as_they_end(pool: Any, chunksize: int) -> None:
    results = pool.map_unordered(jobs.fail_if_odd, range(30), chunksize=chunksize, return_exceptions=True)
    assert sorted(map(str, plain(results))) == sorted(f"{n} is odd" if n % 2 else str(n) for n in range(30))


@BOTH
def test_the_input_stays_bounded(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(2)
    numbers = Counted()
    results = getattr(pool, how)(jobs.fail_if_odd, numbers, buffersize=10, return_exceptions=True)
    got = list(itertools.islice(results, 200))
    assert sum(isinstance(one, ValueError) for one in got) >= 90
    assert numbers.taken <= 211
    results.close()


def test_whatever_a_job_can_end_with(make_pool: Callable[..., Any], stage: Stage, kind: Kind) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    limited = task(jobs.act, timeout=0.05).options(name="limited")
    assert [type(one) for one in pool.map(jobs.leave, [3], return_exceptions=True)] == [JobExit]
    late = partial(limited, stage.address)
    [error] = pool.map(late, ["late"], return_exceptions=True)
    assert isinstance(error, JobTimeout)
    own = [TimeoutError("the job's own"), LookupError("another")]
    assert plain(pool.map(jobs.fail_with, own, timeout=WAIT, return_exceptions=True)) == ["the job's own", "another"]
    if kind.name == "processes":
        [crash] = pool.map(os._exit, [7], return_exceptions=True)
        assert isinstance(crash, WorkerCrashed) and crash.exitcode == 7


@BOTH
def test_an_input_that_raises_ends_the_map(pool: Any, how: str) -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 3)
        raise LookupError("the input broke")

    results = getattr(pool, how)(jobs.fail_if_odd, numbers(), return_exceptions=True)
    assert sorted(str(next(results)) for _ in range(2)) == ["1 is odd", "3 is odd"]
    with pytest.raises(LookupError, match="the input broke"):
        next(results)


@BOTH
def test_a_pool_that_closes_ends_the_map(make_pool: Callable[..., Any], stage: Stage, how: str) -> None:
    pool = make_pool(1, cancel_grace=30)
    numbers = (str(number) for number in itertools.count())
    results = getattr(pool, how)(stage_job(stage), numbers, buffersize=3, return_exceptions=True)
    stage.enter().tell("fail")
    assert isinstance(next(results), ValueError)
    stage.enter().tell("finish when told")
    pool.request_drain(0)
    assert next(results) == "finished though shutdown"
    with pytest.raises(PoolClosed):
        next(results)
    pool.drain(WAIT)


def test_the_time_limit_of_the_map_ends_it(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    results = pool.map(stage_job(stage), "ab", timeout=0.1, return_exceptions=True)
    actor = stage.enter()
    with pytest.raises(TimeoutError):
        next(results)
    actor.tell("return")


@BOTH
def test_a_bad_value_is_refused_at_once(pool: Any, how: str) -> None:
    with pytest.raises(TypeError, match="return_exceptions must be True or False, not 'yes'"):
        getattr(pool, how)(jobs.double, [1], return_exceptions="yes")
