"""`map` and `map_unordered` over inputs that wait: what is there is given."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from steadypool import AsyncPool, PoolClosed
from tests.patience import WAIT
from tests.pools.aio.cues import later, same

Make = Callable[..., AsyncPool]
BOTH = pytest.mark.parametrize("how", ["map", "map_unordered"])


class TaskAdapter:
    """An asynchronous input that waits until it is given something."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[object] = asyncio.Queue()
        self.has_ended = asyncio.Event()

    def put(self, *items: object) -> None:
        for item in items:
            self.items.put_nowait(item)

    async def read(self) -> AsyncIterator[object]:
        try:
            while (item := await self.items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.has_ended.set()


@BOTH
@pytest.mark.parametrize("fn", [same, later])
async def test_results_come_while_an_asynchronous_input_waits(
    pool: AsyncPool, how: str, fn: Callable[..., object]
) -> None:
    feed = TaskAdapter()
    feed.put(1, 2, 3)
    results = getattr(pool, how)(fn, feed.read())
    async with asyncio.timeout(WAIT):
        assert sorted([await anext(results) for _ in range(3)]) == [1, 2, 3]
        for number in range(10):  # each item waits for the result before it
            feed.put(number)
            assert await anext(results) == number
        feed.put(None)
        assert [r async for r in results] == []


@BOTH
async def test_what_the_input_raises_comes_after_the_results_before_it(pool: AsyncPool, how: str) -> None:
    feed = TaskAdapter()
    feed.put(1, 2, LookupError("the input broke"))
    results = getattr(pool, how)(later, feed.read(), read_here=True)  # as the other pools take it
    assert sorted([await anext(results) for _ in range(2)]) == [1, 2]
    with pytest.raises(LookupError):
        await anext(results)


@BOTH
async def test_closing_ends_the_wait_for_input(pool: AsyncPool, how: str) -> None:
    feed = TaskAdapter()
    feed.put(1)
    results = getattr(pool, how)(later, feed.read())
    assert await anext(results) == 1
    await results.aclose()
    assert feed.has_ended.is_set()
    assert not [task for task in asyncio.all_tasks() if task.get_name().endswith("-input")]


@BOTH
async def test_cancelling_the_reader_of_results_ends_the_wait_for_input(pool: AsyncPool, how: str) -> None:
    feed = TaskAdapter()

    async def read() -> list[object]:
        return [r async for r in getattr(pool, how)(later, feed.read())]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    async with asyncio.timeout(WAIT):
        await feed.has_ended.wait()


@BOTH
async def test_the_pool_closes_while_the_input_waits(make_pool: Make, how: str) -> None:
    pool, feed = make_pool(2), TaskAdapter()
    feed.put(1, 2)
    results = getattr(pool, how)(later, feed.read())
    assert sorted([await anext(results) for _ in range(2)]) == [1, 2]
    nothing = asyncio.create_task(anext(results))
    await asyncio.sleep(0)
    await pool.drain(WAIT)
    with pytest.raises(PoolClosed):
        async with asyncio.timeout(WAIT):
            await nothing


async def test_the_time_limit_of_a_map_holds_for_its_input(pool: AsyncPool) -> None:
    feed = TaskAdapter()
    feed.put(1)
    results = pool.map(later, feed.read(), timeout=0.3)
    assert await anext(results) == 1
    with pytest.raises(TimeoutError, match="input"):
        await anext(results)


@BOTH
async def test_the_window_bounds_an_asynchronous_input(pool: AsyncPool, how: str) -> None:
    taken = 0

    async def numbers() -> AsyncIterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    source = numbers()
    results, most = getattr(pool, how)(later, source, buffersize=7), 0
    for given in range(100):
        await anext(results)
        most = max(most, taken - given)
    await results.aclose()
    await source.aclose()
    assert most <= 7 + 1


@BOTH
async def test_results_come_while_a_plain_input_is_slow(pool: AsyncPool, how: str) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            time.sleep(0.05)
            taken += 1
            yield number

    results = getattr(pool, how)(same, numbers())
    await anext(results)
    assert taken < 20
    await results.aclose()


@BOTH
async def test_a_job_maps_a_slow_input_over_its_own_pool(make_pool: Make, how: str) -> None:
    pool, feed = make_pool(1, queue_size=1), TaskAdapter()
    feed.put(1, 2)

    async def job() -> list[object]:
        results = getattr(pool, how)(later, feed.read())
        first = [await anext(results) for _ in range(2)]
        feed.put(3, None)
        return first + [r async for r in results]

    async with asyncio.timeout(WAIT):
        assert sorted(await pool.run(job)) == [1, 2, 3]
