"""The input of a map on asyncio: asynchronous ones are read by a task of their own, plain ones between two results.

Theory of operation
-------------------
Everything here runs on the pool's loop, so that what is between two awaits is in one piece.

* **Asynchronous inputs** may wait for as long as they like. The feeder, a task of the map's own, reads an item, submits
  it, and goes on while less is in flight than the window is wide. Whoever gives the results waits for them alone, or,
  while nothing is in flight, for `Feeder.came`. Closing the map cancels the feeder, and with it a wait for the input.
* **Plain inputs** are read on the loop, since what is plain in a program for asyncio may count on that; while one
  blocks, the whole loop does. `AsyncWindow.fill` reads on until the window is full, but goes round the loop, and
  stops when a result is there, as soon as the input has taken longer than `BRISK`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from steadypool.model.clock import monotonic

if TYPE_CHECKING:
    from steadypool.pools.aio.map import AsyncWindow

PATIENCE = 0.2
"""Seconds that a plain input may take of ``map`` itself, for the first window."""
BRISK = 0.005
"""Seconds that a plain input may take before others have a turn."""


class Feeder:
    """Reads an asynchronous input and submits it, in a task of its own."""

    def __init__(self, window: AsyncWindow, read: Callable[[], Awaitable[Any]]) -> None:
        self._window = window
        self._read = read
        self.came = asyncio.Event()
        """Something was submitted, the input has ended, or the pool has closed."""
        self.room = asyncio.Event()
        """Something was given to the caller."""
        self.has_ended = False
        window.workers.core.at_close.append(self._pool_closed)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"{window.workers.core.name}-input")

    async def _run(self) -> None:
        window = self._window
        try:
            while not window.has_ended():
                self.room.clear()
                if not window.has_room():
                    await self.room.wait()
                elif (row := await self._read()) is None:
                    window.end()
                else:
                    await window.submit(row)
                    self.came.set()
        except Exception as error:
            window.end(error)
        finally:
            self.has_ended = True
            with suppress(ValueError):
                window.workers.core.at_close.remove(self._pool_closed)
            self.came.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something came; *seconds* at most.

        Raises:
            TimeoutError: nothing did.
        """
        if not self.has_ended and self._window.workers.core.refusal is not None and not self._window.is_submitting:
            self._window.end(self._window.workers.core.refusal())
            return
        self.came.clear()
        if not self.has_ended:
            async with asyncio.timeout(seconds):
                await self.came.wait()

    async def close(self) -> None:
        """Stop reading, also in the middle."""
        self._task.cancel()
        self.room.set()
        await asyncio.wait((self._task,))

    def _pool_closed(self) -> None:
        loop = self._task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.came.set)


class Brisk:
    """How long a plain input has taken of the loop, since others had a turn."""

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self._taken = 0.0

    def next(self, rows: Any) -> Any:
        """The next row; ``None`` at the end."""
        began = monotonic()
        try:
            return next(rows, None)
        finally:
            self._taken += monotonic() - began

    def is_over(self) -> bool:
        """Whether that is too long."""
        return self._taken > self._allowed
