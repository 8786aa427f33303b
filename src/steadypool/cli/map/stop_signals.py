"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second for a quick one, the third ends at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

from steadypool.cli.map.waker import Waker


class StopSignals:
    """A ``with`` block in which signals only leave a note and wake the run.

    The note is written by the handler, the wake-up by the interpreter itself (``set_wakeup_fd``): a signal that
    comes in the moment before the sleep begins ends it all the same. A signal that was ignored when the program
    started (``nohup``, a shell's background job) stays ignored.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, waker: Waker) -> None:
        self.received: list[int] = []
        self._waker = waker
        self._old: dict[int, signal._HANDLER] = {}
        self._old_wakeup = -1

    @property
    def first(self) -> int | None:
        """The signal that asked for the end, if one did."""
        return self.received[0] if self.received else None

    def __enter__(self) -> StopSignals:
        self._old_wakeup = signal.set_wakeup_fd(self._waker.descriptor, warn_on_full_buffer=False)
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if len(self.received) > 2:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
