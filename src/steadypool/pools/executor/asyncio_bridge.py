"""From asyncio into a pool of threads or processes: waiting on the loop for a place in a full queue."""

from __future__ import annotations

import asyncio

from steadypool.pools.core.core import Core
from steadypool.primitives.future import LoopWaker


async def wait_for_room(core: Core) -> None:
    """Take a place in the queue.

    Raises:
        PoolClosed: the pool takes no more jobs.
    """
    while True:
        waker = LoopWaker(asyncio.get_running_loop())
        core.queue.blocked.append(waker)
        try:
            if core.queue.take_room():
                return
            if core.refusal is not None:
                raise core.refusal()
            await waker.woken
        finally:
            core.queue.forget_producer(waker)
