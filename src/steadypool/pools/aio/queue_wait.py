"""Waiting for room in a full queue, on the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadypool.pools.aio.workers import AsyncWorkers


class TurnWaker:
    """Wakes a producer (see `primitives.job_queue`), and takes the room for the waiter: no other can overtake it."""

    def __init__(self, workers: AsyncWorkers) -> None:
        self._queue = workers.core.queue
        self.opened: asyncio.Future[bool] = workers.loop.create_future()

    def release(self) -> None:
        """There may be room: take it. Without any, the pool is closing."""
        if not self.opened.done():
            self.opened.set_result(self._queue.take_room())
        elif self._queue.room:
            self._queue.wake_producer()


async def wait_for_room(workers: AsyncWorkers, seconds: float | None) -> bool:
    """Take a place in the queue, waiting up to *seconds* (``None``: without limit). False: there was none.

    First come, first served.
    """
    queue = workers.core.queue
    if not queue.blocked and queue.take_room():
        return True
    waker = TurnWaker(workers)
    queue.blocked.append(waker)
    try:
        if seconds is None:
            return await waker.opened
        await asyncio.wait((waker.opened,), timeout=seconds)
        return waker.opened.done() and waker.opened.result()
    except asyncio.CancelledError:
        if waker.opened.done() and not waker.opened.cancelled() and waker.opened.result():
            queue.give_room()
        raise
    finally:
        if waker in queue.blocked:
            queue.blocked.remove(waker)
        waker.opened.cancel()
