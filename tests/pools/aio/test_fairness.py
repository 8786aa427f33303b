"""Eager starts, recursion, starvation, and jobs that wait for their own pool."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic

import pytest

from steadypool import AsyncJobFuture, AsyncPool, task
from steadypool.model.errors import WouldDeadlock
from tests.pools.aio.cues import Cue, later, same, turns

Make = Callable[..., AsyncPool]
EAGER = sys.version_info >= (3, 12)


@pytest.mark.skipif(not EAGER, reason="tasks are eager from Python 3.12 on")
async def test_a_job_that_never_waits_has_ended_when_submit_returns(pool: AsyncPool) -> None:
    future = await pool.submit(task(same, timeout=5), 7)
    assert future.done() and future.result() == 7
    assert pool._workers.attempts.deadlines.next_due() is None


@pytest.mark.parametrize("in_map", [False, True])
async def test_submitting_does_not_starve_the_loop(make_pool: Make, in_map: bool) -> None:
    pool, ticks = make_pool(10, queue_size=100), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    if in_map:
        async for _ in pool.map(same, range(2000)):
            pass
    else:
        for _ in range(2000):
            await pool.submit(same)
    assert ticks >= 3
    ticker.cancel()


async def test_the_queue_does_not_starve_the_loop(make_pool: Make) -> None:
    pool, cue, ticks = make_pool(1, queue_size=2000), Cue(), 0
    await pool.submit(cue)
    futures = [await pool.submit(same) for _ in range(2000)]

    async def tick() -> None:
        nonlocal ticks
        while not futures[-1].done():
            ticks += 1
            await asyncio.sleep(0)

    cue.go()
    await tick()
    assert ticks >= 3


@pytest.mark.skipif(not EAGER, reason="tasks are eager from Python 3.12 on")
async def test_slow_first_steps_do_not_starve_the_loop(make_pool: Make) -> None:
    pool, ticks = make_pool(100), []

    async def spins() -> None:
        deadline = monotonic() + 0.002
        while monotonic() < deadline:
            pass

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    for _ in range(30):
        await pool.submit(spins)
    assert len(ticks) >= 8
    ticker.cancel()


async def test_jobs_that_submit_jobs_do_not_recurse(make_pool: Make) -> None:
    pool = make_pool(2, queue_size=2)

    async def chain(left: int) -> AsyncJobFuture[object] | None:
        return await pool.submit(chain, left - 1) if left else None

    future = await pool.submit(chain, 5000)
    while future is not None:
        future = await future  # type: ignore[assignment]
    assert pool.stats().succeeded == 5001


async def test_a_job_submits_to_its_own_full_pool(make_pool: Make) -> None:
    for how in ("block", "caller_runs"):
        pool = make_pool(1, queue_size=1, on_full=how)

        async def fan_out(pool: AsyncPool = pool) -> int:
            futures = [await pool.submit(later, number) for number in range(10)]
            return sum([await future for future in futures])

        assert await pool.run(fan_out) == 45


@pytest.mark.parametrize("how", ["run", "await", "gather", "map", "unordered", "group", "wait", "task"])
async def test_a_job_waits_for_its_own_full_pool(make_pool: Make, how: str) -> None:
    pool = make_pool(1)

    async def waits() -> object:
        if how == "run":
            return await pool.run(later, 1)
        if how == "await":
            return await (await pool.submit(later, 1))
        if how == "gather":
            return (await asyncio.gather(await pool.submit(later, 1), await pool.submit(later, 2)))[0]
        if how == "map":
            return [result async for result in pool.map(later, range(5))][1]
        if how == "unordered":
            return sorted([result async for result in pool.map_unordered(later, range(5))])[1]
        if how == "group":
            async with pool.group() as group:
                future = await group.submit(later, 1)
            return future.result()
        if how == "wait":
            done, _ = await asyncio.wait({await pool.submit(later, 1)})
            return done.pop().result()
        return await asyncio.create_task(pool.run(later, 1))

    assert await asyncio.gather(*[await pool.submit(waits) for _ in range(5)]) == [1] * 5
    assert pool._workers.attempts.lent == 0


async def test_deep_nesting(make_pool: Make) -> None:
    pool = make_pool(1)

    async def nested(depth: int) -> int:
        return 1 + await pool.run(nested, depth - 1) if depth else 0

    assert await pool.run(nested, 40) == 40


async def test_nobody_left_to_run_it_is_told(make_pool: Make) -> None:
    pool = make_pool(1)

    async def endless(depth: int) -> int:
        return await pool.run(endless, depth + 1)

    with pytest.raises(WouldDeadlock, match="no worker is left"):
        await pool.run(endless, 0)


async def test_a_job_that_waits_for_itself_is_told(make_pool: Make) -> None:
    pool, futures = make_pool(2), []

    async def waits_for(number: int) -> None:
        await asyncio.sleep(0)
        await futures[number]

    futures += [await pool.submit(waits_for, 0)]
    with pytest.raises(WouldDeadlock, match="itself"):
        await futures[0]
    futures.clear()
    futures += [await pool.submit(waits_for, 1), await pool.submit(waits_for, 0)]
    await asyncio.wait(futures)
    assert all(isinstance(future.exception(), WouldDeadlock) for future in futures)


async def test_a_waiting_job_lends_its_place_and_the_bound_holds_otherwise(make_pool: Make) -> None:
    pool, cue = make_pool(2), Cue()

    async def waits() -> object:
        return await pool.run(cue)

    outer = [await pool.submit(waits) for _ in range(2)]
    await cue.wait_started(2)
    await pool.submit(cue)
    await turns()
    assert cue.started == 2 and pool.stats().running == 4
    cue.go()
    await asyncio.gather(*outer)


async def test_a_custom_task_factory_is_used() -> None:
    made = []
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> asyncio.Task[object]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    try:
        async with AsyncPool(1) as pool:
            assert await pool.run(same, 1) == 1
    finally:
        loop.set_task_factory(None)
    assert len(made) == 1


@pytest.mark.skipif(not EAGER, reason="there is an eager task factory from Python 3.12 on")
async def test_with_asyncios_own_eager_tasks() -> None:
    loop = asyncio.get_running_loop()
    if type(loop).__module__.startswith("uvloop"):
        pytest.skip("uvloop passes the factory an argument that CPython 3.13.0 does not know")
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    try:
        async with AsyncPool(2) as pool:
            assert await pool.run(same, 1) == 1
            assert [r async for r in pool.map(later, range(20))] == list(range(20))
    finally:
        loop.set_task_factory(None)
