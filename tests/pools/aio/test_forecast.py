"""The drain forecast of an `AsyncPool`."""

from __future__ import annotations

import asyncio
import signal

from steadypool import AsyncPool
from steadypool.model.events import DrainMayOverrun, Event

RUN = 0.01


def test_a_warning_when_the_estimate_outgrows_the_limit() -> None:
    async def main() -> list[Event]:
        warned = asyncio.Event()
        found: list[Event] = []

        def sink(event: Event) -> None:
            if isinstance(event, DrainMayOverrun):
                found.append(event)
                warned.set()

        pool = AsyncPool(1, cancel_grace=0.1)
        async with pool:
            pool.subscribe(sink)
            with pool.drain_on_signal(timeout=5 * RUN, signals=[signal.SIGUSR2]):
                for _ in range(100):
                    await pool.submit(asyncio.sleep, RUN)
                await asyncio.wait_for(warned.wait(), 20)
            await pool.drain(0)
        return found

    (event,) = asyncio.run(main())
    assert isinstance(event, DrainMayOverrun) and event.estimate > event.seconds == 5 * RUN


def test_a_warning_when_the_block_is_entered() -> None:
    async def main() -> list[Event]:
        found: list[Event] = []
        async with AsyncPool(1, cancel_grace=0.1) as pool:
            await pool.run(asyncio.sleep, RUN)
            for _ in range(100):
                await pool.submit(asyncio.sleep, RUN)
            pool.subscribe(found.append)
            with pool.drain_on_signal(timeout=10 * RUN, signals=[signal.SIGUSR2]):
                found = [event for event in found if isinstance(event, DrainMayOverrun)]
            await pool.drain(0)
        return found

    assert len(asyncio.run(main())) == 1
