"""The task that notices when a loop is about to end under an open pool."""

from __future__ import annotations

import asyncio
import sys

from steadypool.pools.aio.attempts import Attempts
from steadypool.pools.aio.shutdown import end_stuck
from steadypool.pools.aio.timers import Closed
from steadypool.pools.core.core import Core


async def watch_loop(core: Core, closed: Closed, attempts: Attempts) -> None:
    """Wait for the pool to close. Cancelled, with every other task of a loop that ends, close it without patience."""
    try:
        await closed.wait()
    except asyncio.CancelledError:
        core.request_drain(0.0)
        await wait_closed(core, closed)
        await end_stuck(attempts)
        _say(core)


async def wait_closed(core: Core, closed: Closed) -> bool:
    """Wait until the pool is closed, being cancelled or not. Returns whether it was."""
    cancelled = False
    while not closed.is_set():
        try:
            await closed.wait()
        except asyncio.CancelledError:
            cancelled = True
            core.request_drain(0.0)
    return cancelled


def _say(core: Core) -> None:
    report = core.report
    if report is not None and (report.stuck or report.unfinished or report.interrupted) and sys.stderr is not None:
        print(f"steadypool: left open when its event loop ended, {report}", file=sys.stderr, flush=True)
