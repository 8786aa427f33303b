"""From other threads: ``submit_threadsafe``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from steadypool import AsyncPool, JobCancelled, JobTimeout, PoolClosed, Retry, task
from tests.patience import WAIT
from tests.pools.aio.cues import Cue, fail, hang, later, turns

Make = Callable[..., AsyncPool]
variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_it_has_no_thread_of_its_own(make_pool: Make) -> None:
    before = set(threading.enumerate())
    pool, cue = make_pool(10, timeout=60.0, total_timeout=60.0), Cue()
    futures = [await pool.submit(cue, number) for number in range(50)]
    await cue.wait_started(10)
    cue.go()
    with pytest.raises(ValueError):
        await pool.run(task(fail, retry=Retry(2, on=ValueError, backoff=0.0)))
    with pytest.raises(JobTimeout):
        await pool.run(task(hang, timeout=0.01))
    assert await asyncio.gather(*futures) == list(range(50))
    assert set(threading.enumerate()) <= before


async def test_from_another_thread(make_pool: Make) -> None:
    pool = make_pool(1, queue_size=1)
    await pool.run(later)

    def in_thread() -> list[int]:
        futures = [pool.submit_threadsafe(later, number) for number in range(20)]
        assert all(isinstance(future, concurrent.futures.Future) for future in futures)
        with pytest.raises(ValueError):
            pool.submit_threadsafe(fail).result(WAIT)
        with pytest.raises(TypeError, match=r"ThreadPool\.run"):
            pool.submit_threadsafe(len and in_thread)  # type: ignore[arg-type]
        return [future.result(WAIT) for future in futures]

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
        return pool.submit_threadsafe(get).result(WAIT)

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
