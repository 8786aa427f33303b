"""``map``, ``map_unordered`` and groups."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from steadypool import AsyncPool, JobCancelled, Outcome, PoolClosed, task
from tests.patience import LONG
from tests.pools.aio.cues import Cue, fail, hang, later, same, turns

Make = Callable[..., AsyncPool]


async def count_up(end: int) -> AsyncIterator[int]:
    for number in range(end):
        await asyncio.sleep(0)
        yield number


async def add(one: int, other: int) -> int:
    await asyncio.sleep(0)
    return one + other


async def even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


# -- map


@pytest.mark.parametrize("fn", [same, later])
async def test_map_is_in_order(pool: AsyncPool, fn: Callable[..., object]) -> None:
    assert [r async for r in pool.map(fn, range(50))] == list(range(50))
    assert [r async for r in pool.map(fn, [])] == []
    assert [r async for r in pool.map(fn, count_up(5))] == list(range(5))
    assert sorted([r async for r in pool.map_unordered(fn, count_up(50))]) == list(range(50))


async def test_map_zips_plain_and_asynchronous_iterables(pool: AsyncPool) -> None:
    assert [r async for r in pool.map(add, range(10), count_up(3))] == [0, 2, 4]
    assert [r async for r in pool.map(add, count_up(3), itertools.count(10))] == [10, 12, 14]


async def test_map_is_lazy_and_bounded(make_pool: Make) -> None:
    pool, taken = make_pool(2, queue_size=5), []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = pool.map(later, endless(), buffersize=4)
    assert 1 <= len(taken) <= 4  # the first window is submitted at once, as far as there is room and time
    assert await anext(results) == 0 and len(taken) <= 4
    assert await anext(results) == 1 and len(taken) <= 5
    await results.aclose()  # type: ignore[attr-defined]
    many = pool.map_unordered(later, endless(), buffersize=3)
    for _ in range(10):
        await anext(many)
    await many.aclose()  # type: ignore[attr-defined]
    await pool.drain()
    assert pool.stats().accepted < 30


async def test_map_waits_for_room_whatever_the_pool_does_when_full(make_pool: Make) -> None:
    for how in ("reject", "discard_oldest", "caller_runs", "block"):
        pool = make_pool(1, queue_size=1, on_full=how)
        assert [r async for r in pool.map(later, range(20))] == list(range(20))
        assert sorted([r async for r in pool.map_unordered(later, range(20), buffersize=5)]) == list(range(20))
        assert pool.stats().rejected == 0


async def test_map_unordered_gives_what_ends_first(make_pool: Make) -> None:
    pool, cue = make_pool(3), Cue()

    async def slow_or_fast(number: int) -> int:
        return await cue(number) if number == 0 else number

    results = pool.map_unordered(slow_or_fast, range(3))
    assert {await anext(results), await anext(results)} == {1, 2}
    cue.go()
    assert [r async for r in results] == [0]


async def test_an_error_comes_out_in_its_place(pool: AsyncPool) -> None:
    results = pool.map(even, [0, 2, 3, 4])
    assert [await anext(results), await anext(results)] == [0, 2]
    with pytest.raises(ValueError, match="3 is odd"):
        await anext(results)
    with pytest.raises(StopAsyncIteration):
        await anext(results)
    with pytest.raises(ValueError):
        [r async for r in pool.map_unordered(even, [0, 1])]


async def test_an_input_that_raises_comes_last(pool: AsyncPool) -> None:
    def bad() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("input")

    async def bad_async() -> AsyncIterator[int]:
        for number in bad():
            yield number

    for results in (pool.map(later, bad()), pool.map(later, bad_async()), pool.map_unordered(later, bad())):
        got = []
        with pytest.raises(OSError, match="input"):
            async for result in results:
                got.append(result)
        assert sorted(got) == [1, 2]


async def test_closing_a_map_cancels_what_has_not_started(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()

    async def first_only(number: int) -> int:
        return number if number == 0 else await cue(number)

    results = pool.map(first_only, range(5))
    assert await anext(results) == 0
    await cue.wait_started()
    await results.aclose()  # type: ignore[attr-defined]
    assert pool.stats().cancelled == 3 and pool.stats().running == 1
    cue.go()


async def test_breaking_out_of_a_map(make_pool: Make) -> None:
    pool = make_pool(1)
    async for result in pool.map(later, itertools.count()):
        if result == 3:
            break
    report = await pool.drain(LONG)
    assert report.on_time


async def test_a_map_has_a_time_limit(make_pool: Make) -> None:
    pool = make_pool(1, cancel_grace=0.0)
    results = pool.map(lambda_like, [0, 1], timeout=0.02)
    assert await anext(results) == 0
    with pytest.raises(TimeoutError, match="timeout"):
        await anext(results)
    await pool.drain(0)


def print_it(number: int) -> None:
    print(number)


async def lambda_like(number: int) -> int:
    if number:
        await hang()
    return number


async def test_the_pool_closes_under_a_map(make_pool: Make) -> None:
    for unordered in (False, True):
        pool, cue = make_pool(1, cancel_grace=LONG), Cue()

        async def first_only(number: int, cue: Cue = cue) -> int:
            return number if number == 0 else await cue(number)

        results = pool.map_unordered(first_only, range(5)) if unordered else pool.map(first_only, range(5))
        assert await anext(results) == 0
        await cue.wait_started()
        draining = asyncio.create_task(pool.drain(0))
        with pytest.raises(PoolClosed, match="under a map"):
            async for _ in results:
                pass
        await draining


async def test_cancelled_in_a_map(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()

    async def consume() -> None:
        async for _ in pool.map(cue, range(10)):
            pass

    consumer = asyncio.create_task(consume())
    await cue.wait_started()
    await turns()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await cue.wait_cancelled()
    await turns()
    assert pool.stats().cancelled == 10


@pytest.mark.parametrize("unordered", [False, True])
async def test_results_that_were_taken_are_not_kept(pool: AsyncPool, unordered: bool) -> None:
    class Big:
        pass

    async def make(number: int) -> Big:
        await asyncio.sleep(0)
        return Big()

    results = pool.map_unordered(make, range(5)) if unordered else pool.map(make, range(5))
    gone = [weakref.ref(await anext(results))]
    gone.append(weakref.ref(await anext(results)))
    await turns()
    assert [ref() for ref in gone] == [None, None]
    await results.aclose()  # type: ignore[attr-defined]


async def test_bad_maps(pool: AsyncPool) -> None:
    for wrong in (lambda: pool.map(same, 5), lambda: pool.map_unordered(same, None), lambda: pool.map(print_it, [])):  # type: ignore
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: pool.map(same, [], buffersize=0), lambda: pool.map(same, [], timeout=-1)):
        with pytest.raises(ValueError):
            wrong()


# -- groups


async def test_a_group_waits_for_its_jobs(pool: AsyncPool) -> None:
    async with pool.group() as group:
        futures = [await group.submit(later, number) for number in range(10)]
    assert [future.result() for future in futures] == list(range(10))
    with pytest.raises(RuntimeError, match="has ended"):
        await group.submit(same)
    async with pool.group():
        pass


async def test_the_first_error_cancels_the_siblings(make_pool: Make) -> None:
    pool, cue = make_pool(3, cancel_grace=LONG), Cue()
    with pytest.raises(ExceptionGroup) as caught:
        async with pool.group() as group:
            running = [await group.submit(cue) for _ in range(2)]
            await cue.wait_started(2)
            await group.submit(fail)
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert [future.outcome for future in running] == [Outcome.CANCELLED] * 2
    assert cue.cancelled == 2 and await pool.run(same, 1) == 1


async def test_no_submit_into_a_group_that_ends(make_pool: Make) -> None:
    pool = make_pool(1)
    with pytest.raises(ExceptionGroup) as caught:
        async with pool.group() as group:
            failing = await group.submit(fail)
            await asyncio.wait({failing})
            with pytest.raises(JobCancelled, match="group is ending"):
                await group.submit(same)
    assert len(caught.value.exceptions) == 1


async def test_an_error_in_the_block_cancels_the_jobs(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()
    with pytest.raises(ExceptionGroup) as caught:
        async with pool.group() as group:
            futures = [await group.submit(cue) for _ in range(3)]
            await cue.wait_started()
            raise OSError("block")
    assert [type(error) for error in caught.value.exceptions] == [OSError]
    assert {future.outcome for future in futures} == {Outcome.CANCELLED}


async def test_cancelling_a_group_cancels_its_jobs(make_pool: Make) -> None:
    pool, cue = make_pool(2, cancel_grace=LONG), Cue()

    async def block(inside: bool) -> None:
        async with pool.group() as group:
            for _ in range(3):
                await group.submit(cue)
            if inside:
                await hang()

    for number, inside in enumerate([True, False], 1):
        caller = asyncio.create_task(block(inside))
        await cue.wait_started(2 * number)
        await turns()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert pool.stats().cancelled == 3 * number and pool.stats().workers == 0


async def test_neither_pool_nor_group_has_a_plain_with(pool: AsyncPool) -> None:
    for entered in (pool, pool.group()):
        with pytest.raises(TypeError, match="async with"):
            with entered:
                pass


async def test_a_group_inside_a_time_limit(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            async with pool.group() as group:
                await group.submit(cue)
    assert pool.stats().cancelled == 1
    [own] = [asyncio.current_task()]
    assert own is not None and own.cancelling() == 0


async def test_tasks_keep_their_options(pool: AsyncPool) -> None:
    with pytest.raises(ExceptionGroup):
        async with pool.group() as group:
            await group.submit(task(hang, timeout=0.01))
    with pytest.raises(TimeoutError):
        [r async for r in pool.map(task(lambda_like, timeout=0.01), [1])]
