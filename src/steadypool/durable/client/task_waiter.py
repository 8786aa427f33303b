"""How an asyncio task waits for a job: no thread waits for it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from steadypool.durable.client.ends import Ends
from steadypool.durable.engine.records import JobKey

T = TypeVar("T")


class TaskWaiter:
    """See `Sleeper`. Made in the task."""

    def __init__(self, job: JobKey) -> None:
        self.job = job
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return when the job may have ended, or after *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()

    def wake(self) -> None:
        """See `Sleeper.wake`."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            pass  # the loop is closed, and the task with it


async def look(ends: Ends, fn: Callable[..., T], *args: object) -> T:
    """What *fn* returns, called by the thread that looks for all tasks."""
    return await asyncio.wrap_future(ends.looks.submit(fn, *args))
