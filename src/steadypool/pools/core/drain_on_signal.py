"""Draining on SIGTERM and SIGINT. The handlers do nothing but note the signal and wake the supervisor.

A second signal may come before the main thread got round to the first, or while it waits for a lock. So the signals
are read from the `SignalPipe` too, and ask for the drain as the handler would. To ask twice does no harm.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from steadypool.model.errors import PoolClosed
from steadypool.primitives.signal_ladder import STEPS, SignalLadder
from steadypool.primitives.signal_pipe import pipe

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core


class DrainOnSignal:
    """The ``with`` block of ``pool.drain_on_signal(timeout, signals)``.

    The first signal drains the pool within *timeout* seconds. The second goes straight to cancelling. The third
    means what it meant before the block. The old handlers come back at the end of the block.

    A `PoolClosed` of this pool that leaves the block after a signal ends there: it says no more than that the
    signal has had its effect. ``pool.drain()`` then gives the report.
    """

    def __init__(self, core: Core, timeout: float | None, signals: Iterable[int]) -> None:
        self._core = core
        self._timeout = timeout
        self._ladder = SignalLadder(signals, self._ask)
        self._limit_before: float | None = None
        self._seen = 0
        """How many signals the pipe has reported."""

    @property
    def received(self) -> int:
        """How many signals have come."""
        return len(self._ladder.received)

    def __enter__(self) -> DrainOnSignal:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "drain_on_signal() needs the main thread, the only one in which Python runs signal handlers; "
                "here, have the main thread call pool.request_drain(timeout)"
            )
        # Now, since a handler must not start a thread.
        self._core.workers.supervision.supervise()
        pipe.listen(self._note)
        try:
            self._ladder.__enter__()
        except BaseException:
            pipe.leave(self._note)
            raise
        self._limit_before = self._core.forecast.set_limit(self._timeout)
        return self

    def _note(self, number: int) -> None:
        """On the pipe's thread."""
        if number in self._ladder.signals:
            self._seen += 1
            self._ask(self._seen)

    def _ask(self, count: int) -> None:
        if count <= STEPS:
            self._core.requests.append(self._timeout if count == 1 else 0.0)
            self._core.bell.ring()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        pipe.leave(self._note)
        self._ladder.restore()
        self._core.forecast.set_limit(self._limit_before)
        return self.received > 0 and isinstance(error, PoolClosed)


def in_signal_handler() -> bool:
    """Whether the calling code runs inside a Python signal handler.

    A handler is called with the frame that it interrupted, and that frame is also its caller's.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    handlers |= {
        getattr(getattr(signal.getsignal(n), "__func__", None), "__code__", None) for n in signal.valid_signals()
    }
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in handlers and frame.f_back is not None and _was_given(frame, frame.f_back):
            return True
        frame = frame.f_back
    return False


def _was_given(frame: FrameType, interrupted: FrameType) -> bool:
    for value in frame.f_locals.values():
        if value is interrupted or (isinstance(value, tuple) and any(item is interrupted for item in value)):
            return True
    return False
