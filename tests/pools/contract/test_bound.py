"""The bound of the queue: none at all, or a number that costs nothing until it is used; and whose numbers count."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from steadypool import Retry, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


@pytest.mark.parametrize("size", [None, sys.maxsize, 100_000_000])
def test_a_queue_that_holds_any_number(make_pool: Callable[..., Any], stage: Stage, size: int | None) -> None:
    tracemalloc.start()
    try:
        pool = make_pool(1, queue_size=size, on_full="reject")
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()
    assert pool.stats().queue_size == size
    stage.occupy(pool)
    futures = [pool.submit(jobs.double, number) for number in range(3_500)]
    futures += [pool.try_submit(jobs.double, number) for number in range(10)]
    assert pool.stats().waiting >= 3_400 and not pool.health().full
    stage.close()
    assert futures[-1].result(WAIT) == 18 and futures[3_499].result(WAIT) == 6_998


@pytest.mark.parametrize("how", ["map", "map_unordered"])
def test_a_map_is_bounded_all_the_same(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(2, queue_size=None)
    results = getattr(pool, how)(jobs.double, itertools.count())
    for _ in range(3_000):
        next(results)
    assert pool.stats().accepted <= 3_000 + 1_001
    results.close()


def test_a_bound_above_what_is_made_at_once_holds(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1_500, on_full="reject")
    stage.occupy(pool)
    while not pool.health().full:
        pool.submit(jobs.nothing)
    assert pool.stats().waiting <= 1_500
    stage.close()


def test_whole_numbers_of_numpy_are_numbers(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(numpy.int64(2), queue_size=numpy.int32(10), cancel_grace=numpy.float32(1), timeout=numpy.int8(30))
    assert list(pool.map(jobs.double, [1, 2], buffersize=numpy.int64(2), chunksize=numpy.uint8(1))) == [2, 4]
    options = task(jobs.double, timeout=numpy.float32(30), priority=numpy.int16(3), retry=Retry(numpy.int64(2)))
    assert pool.submit(options, 4).result(WAIT) == 8
    pool.resize(numpy.int64(1))
    assert pool.stats().max_workers == 1
    assert type(pool.stats().max_workers) is int
    with pytest.raises(TypeError, match="whole number"):
        pool.resize(numpy.float64(2))
