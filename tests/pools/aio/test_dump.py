"""Dumps of an `AsyncPool`: of a loop that is held up, and beside a loop that listens to signals."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from typing import Any

from steadypool import AsyncPool, ThreadPool
from tests.pools.contract.stage import WAIT


async def hold_the_loop(started: threading.Event, over: threading.Event) -> None:
    """Never awaits."""
    started.set()
    over.wait(WAIT)


async def outer(started: threading.Event, over: threading.Event) -> None:
    """Awaits only what never does."""
    await hold_the_loop(started, over)


def test_a_job_that_holds_the_loop_is_seen_from_outside() -> None:
    started, over = threading.Event(), threading.Event()
    pool = AsyncPool(2, name="held")
    found: list[str] = []

    def look() -> None:
        started.wait(WAIT)
        found.append(pool.dump())
        over.set()

    async def main() -> None:
        async with pool:
            await pool.submit(asyncio.sleep, 0.01)
            await pool.run(outer, started, over)

    looker = threading.Thread(target=look)
    looker.start()
    asyncio.run(main())
    looker.join(WAIT)
    assert re.search(r"in outer\n.*\n.*in hold_the_loop\n +over\.wait\(WAIT\)\n", found[0])


def test_a_job_may_dump_its_own_pool() -> None:
    async def dumps(pool: AsyncPool) -> str:
        return pool.dump()

    async def main() -> Any:
        async with AsyncPool(1) as pool:
            return await pool.run(dumps, pool)

    text = asyncio.run(main())
    assert "runs 1:" in text and "in dumps" in text


def test_on_a_signal_beside_a_loop_that_listens_to_signals() -> None:
    async def main(dumped: asyncio.Event) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, dumped.set)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(dumped.wait(), WAIT)

    dumped = asyncio.Event()
    with ThreadPool(1) as pool:
        # The loop takes the wake-up descriptor in the block; the dump then sends it a signal of its own.
        with pool.dump_on_signal(to=lambda text: signal.raise_signal(signal.SIGUSR2)):
            asyncio.run(main(dumped))
    assert signal.set_wakeup_fd(-1) == -1
