"""The task that notices when a loop is about to end under an open pool."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from steadypool.pools.aio.shutdown import end_stuck

if TYPE_CHECKING:
    from steadypool.pools.aio.workers import AsyncWorkers


async def keep(workers: AsyncWorkers) -> None:
    """Wait for the pool to close. Cancelled, with every other task of a loop that ends, close it without patience."""
    try:
        await workers.closed.wait()
    except asyncio.CancelledError:
        workers.core.request_drain(0.0)
        await wait_closed(workers)
        await end_stuck(workers)
        _say(workers)


async def wait_closed(workers: AsyncWorkers) -> bool:
    """Wait until the pool is closed, being cancelled or not. Returns whether it was."""
    cancelled = False
    while not workers.closed.is_set():
        try:
            await workers.closed.wait()
        except asyncio.CancelledError:
            cancelled = True
            workers.core.request_drain(0.0)
    return cancelled


def _say(workers: AsyncWorkers) -> None:
    report = workers.core.report
    if report is not None and (report.stuck or report.unfinished or report.interrupted) and sys.stderr is not None:
        print(f"steadypool: left open when its event loop ended, {report}", file=sys.stderr, flush=True)
