"""From other threads: ``submit_threadsafe``."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from steadypool import AsyncPool, JobCancelled, PoolClosed
from tests.aio.cues import Cue, fail, later, turns

Make = Callable[..., AsyncPool]
variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_from_another_thread(make_pool: Make) -> None:
    pool = make_pool(1, queue_size=1)
    await pool.run(later)

    def in_thread() -> list[int]:
        futures = [pool.submit_threadsafe(later, number) for number in range(20)]
        assert all(isinstance(future, concurrent.futures.Future) for future in futures)
        with pytest.raises(ValueError):
            pool.submit_threadsafe(fail).result(10)
        with pytest.raises(TypeError, match=r"ThreadPool\.run"):
            pool.submit_threadsafe(len and in_thread)  # type: ignore[arg-type]
        return [future.result(10) for future in futures]

    assert await asyncio.to_thread(in_thread) == list(range(20))


async def test_from_another_loop(pool: AsyncPool) -> None:
    await pool.run(later)

    async def elsewhere() -> int:
        return await asyncio.wrap_future(pool.submit_threadsafe(later, 3))

    assert await asyncio.to_thread(lambda: asyncio.run(elsewhere())) == 3


async def test_context_variables_go_along(pool: AsyncPool) -> None:
    await pool.run(later)

    async def get() -> str:
        return variable.get()

    def in_thread() -> str:
        variable.set("the thread's")
        return pool.submit_threadsafe(get).result(10)

    assert await asyncio.to_thread(in_thread) == "the thread's"


async def test_cancelling_from_another_thread(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=30), Cue()
    await pool.run(later)
    future = await asyncio.to_thread(pool.submit_threadsafe, cue)
    await cue.wait_started()
    assert await asyncio.to_thread(future.cancel)
    await cue.wait_cancelled()
    await turns()
    assert pool.stats().cancelled == 1


async def test_a_job_cancelled_by_the_pool(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=30), Cue()
    await pool.run(later)
    future = await asyncio.to_thread(pool.submit_threadsafe, cue)
    await cue.wait_started()
    await pool.drain(0)
    with pytest.raises(JobCancelled):
        await asyncio.to_thread(future.result, 10)
    with pytest.raises(PoolClosed):
        pool.submit_threadsafe(later)


async def test_before_it_is_open(pool: AsyncPool) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        pool.submit_threadsafe(later)
    assert await pool.run(later, 1) == 1
