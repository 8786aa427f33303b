"""A test freezes the clock while the loop is held up: what is due late still comes."""

from __future__ import annotations

import asyncio
import threading

import freezegun

from steadypool import AsyncPool, Retry, task
from steadypool.pools.core.supervisor import LATE
from tests.pools.contract.stage import WAIT


def test_a_retry_that_is_late_comes() -> None:
    tries: list[int] = []
    held: list[asyncio.Future[None]] = []

    async def fails_once() -> int:
        tries.append(1)
        if len(tries) == 1:
            held.append(asyncio.ensure_future(hold_up()))
            raise OSError
        return len(tries)

    async def hold_up() -> None:
        """Hold up the loop once the next try is planned."""
        for _ in range(20):
            await asyncio.sleep(0)
        threading.Event().wait(LATE + 0.2)  # nothing ends it sooner

    async def run() -> int:
        async with AsyncPool(1) as pool:
            return await pool.run(task(fails_once, retry=Retry(3, on=OSError, backoff=0.1, jitter=False)))

    with freezegun.freeze_time("2024-01-01"):
        thread_result: list[int] = []
        thread = threading.Thread(target=lambda: thread_result.append(asyncio.run(run())), daemon=True)
        thread.start()
        thread.join(WAIT)
    assert thread_result == [2]
