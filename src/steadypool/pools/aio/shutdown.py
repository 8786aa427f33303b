"""The end of a pool on its loop: a loop that ends under an open pool, and tasks that did not stop.

`watch_loop` is a task that notices when the loop is about to end. `end_stuck` ends what still runs, so that
``asyncio.run`` can end behind a closed pool, in three steps, each for what the one before could not end:

1. *Cancel again*, a few times: it may have swallowed the first one only, or be in a ``finally`` that waits.
2. *Close the coroutine.* ``close()`` raises ``GeneratorExit`` where it awaits, which is no ``CancelledError`` and
   passes every ``except Exception``. A ``finally`` that awaits is closed again.
3. *Abandon it.* A coroutine that catches ``BaseException`` and waits again cannot be ended in Python. Its task is
   marked as cancelled, so that no caller waits for it, and never runs again. The coroutine is kept for ever:
   freeing it would run it once more, and it may then spin.

What none of them reaches is code that does not await: it blocks the whole loop, and us with it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

from steadypool.pools.aio.attempts import TURN, Attempts
from steadypool.pools.core.core import Core
from steadypool.primitives.task_stacks import await_chain, frame_of

CANCELS = 3
CLOSES = 10

_kept: list[object] = []


async def watch_loop(core: Core, closed: asyncio.Event, attempts: Attempts) -> None:
    """Wait for the pool to close. Cancelled, with every other task of a loop that ends, close it without patience."""
    try:
        await closed.wait()
    except asyncio.CancelledError:
        core.request_drain(0.0)
        await wait_closed(core, closed)
        await end_stuck(attempts)
        _say(core)


async def wait_closed(core: Core, closed: asyncio.Event) -> bool:
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


async def end_stuck(attempts: Attempts) -> None:
    """End every task of a closed pool that still runs."""
    tasks = [attempt.task for attempt in (*attempts.stuck, *attempts.lingering) if attempt.task is not None]
    for _ in range(CANCELS):
        for task in tasks:
            task.cancel()
        for _ in range(3):  # a round for the waiter, one for the task, one for what it awaits
            if all(task.done() for task in tasks):
                return
            await TURN
    for task in tasks:
        if not task.done() and task is not asyncio.current_task():
            _close_all(task)
            _finish(task)


class Closable(Protocol):
    """A coroutine or a generator."""

    def close(self) -> None:
        """Raise `GeneratorExit` in it."""


def _close_all(task: asyncio.Task[None]) -> None:
    """Close a task's coroutine and all that it awaits; keep what does not let itself be closed."""
    # All of them are held here: closing an outer one frees the inner ones, and freeing runs them.
    for coroutine in await_chain(task.get_coro()):
        if not _close(coroutine):
            _keep(coroutine)


def _close(coroutine: Closable) -> bool:
    """Close a coroutine or generator; false if it does not let itself be closed."""
    for _ in range(CLOSES):
        try:
            coroutine.close()
        except ValueError:
            return False  # it is running: it has called us
        except BaseException:
            # What its cleanup raised; or it caught the GeneratorExit, or one that it awaits did, and goes on.
            if frame_of(coroutine) is None:
                return True
        else:
            return True
    return False


def _keep(coroutine: object) -> None:
    """Never free it, not even when the interpreter ends: one more reference than there are holders."""
    _kept.append(coroutine)
    try:
        import ctypes
    except ImportError:
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


def _finish(task: asyncio.Task[None]) -> None:
    """Mark a task as cancelled whose coroutine will not run again, and take it off what it waits for."""
    waiter = getattr(task, "_fut_waiter", None)
    for callback, _ in list(getattr(waiter, "_callbacks", None) or ()):
        if getattr(callback, "__self__", None) is task:
            waiter.remove_done_callback(callback)  # type: ignore[union-attr]
    asyncio.Future.cancel(task)
