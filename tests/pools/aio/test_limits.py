"""Limits of coroutine functions."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from steadypool import AsyncPool, Limit, WouldDeadlock, task


class Client:
    """With a method that is limited."""

    @task(limit=Limit("aio-client", running=1, by=("self", "tenant")))
    async def fetch(self, tenant: int, gate: asyncio.Event) -> int:
        """Wait for the gate."""
        await gate.wait()
        return tenant

    def __str__(self) -> str:
        return "client"


class Worker:
    """With a method that is limited for each tenant."""

    running = 0
    most = 0

    @task(limit=Limit("aio-worker", running=2, by="tenant"), lane="tenant")
    async def work(self, tenant: int) -> int:
        """Note how many run at one time."""
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return tenant


async def test_the_key_of_a_method() -> None:
    worker = Worker()
    async with AsyncPool(10) as pool:
        jobs = [await pool.submit(worker.work, number % 2) for number in range(40)]
        partly = await pool.submit(partial(worker.work, 1))
        assert [await job for job in jobs] == [number % 2 for number in range(40)] and await partly == 1
        assert worker.most <= 4


async def test_what_is_no_key_fails_the_job() -> None:
    async with AsyncPool(10) as pool:
        job = await pool.submit(Client().fetch, 1, asyncio.Event())
        assert isinstance(await asyncio.gather(job, return_exceptions=True), list)
        assert isinstance(job.exception(), TypeError)


async def test_an_eager_job_frees_its_place_within_the_submit() -> None:
    at_once = task(_at_once, limit=Limit("aio-eager", running=1))
    async with AsyncPool(2) as pool:
        jobs = [await pool.submit(at_once, number) for number in range(100)]
        assert [await job for job in jobs] == list(range(100))


async def _at_once(number: int) -> int:
    return number


async def test_a_wait_for_a_job_of_one_s_own_limit() -> None:
    limited = task(_at_once, limit=Limit("aio-nested", running=1))

    async def outer() -> int:
        return await (await pool.submit(limited, 1))

    async with AsyncPool(3) as pool:
        with pytest.raises(WouldDeadlock, match="would wait for itself"):
            await pool.run(task(outer, limit=limited.task_options.limit))
        assert await pool.run(limited, 2) == 2
