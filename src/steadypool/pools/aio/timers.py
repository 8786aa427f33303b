"""How the loop comes to look after the pool: now (`LoopBell`), and later (`Alarm`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context

from steadypool.model.clock import is_replaced, monotonic
from steadypool.pools.core.supervisor import CATCH_UP, LATE

SHORTEST = 0.001
"""An alarm is never set to less: some loops count in milliseconds and may call a little early."""


class LoopBell:
    """Has *step* called on the loop's next round, once however often it is rung. For the loop's own thread."""

    loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._context = Context()
        self.rung = False

    def ring(self) -> None:
        """Have *step* called soon."""
        if not self.rung and self.loop is not None and not self.loop.is_closed():
            self.rung = True
            self.loop.call_soon(self._step, context=self._context)


class Alarm:
    """One timer. It is moved when it would ring too late, never because it would ring too early."""

    loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._context = Context()
        self._timer: asyncio.TimerHandle | threading.Timer | None = None
        self._due = float("inf")

    def set(self, due: float | None) -> None:
        """Have *step* called at *due* (`time.monotonic`), or before; ``None``: nothing is due."""
        if due is None or self.loop is None or (self._timer is not None and self._due <= due):
            return
        self.stop()
        self._due = due
        seconds = max(due - monotonic(), SHORTEST)
        if not is_replaced():
            self._timer = self.loop.call_later(seconds, self._ring, context=self._context)
            return
        # A test has frozen the clock that the loop goes by: its own timers never ring.
        self._timer = timer = threading.Timer(seconds, self._ring_from_thread)
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring_from_thread(self) -> None:
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(self._ring, context=self._context)
        except RuntimeError:
            return  # the loop was closed

    def _ring(self) -> None:
        if monotonic() > self._due + LATE and self.loop is not None and not is_replaced():
            # The loop was held up, or the whole program stopped: what has ended since may say so first.
            self._timer = self.loop.call_later(CATCH_UP, self._ring_late, context=self._context)
        else:
            self._ring_late()

    def _ring_late(self) -> None:
        self._timer = None
        self._step()
