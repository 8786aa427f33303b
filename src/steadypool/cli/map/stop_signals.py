"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second for a quick one, the third ends at once."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Self

from steadypool.primitives.signal_ladder import SignalLadder
from steadypool.primitives.wakeup import PipeBell


class StopSignals(SignalLadder):
    """A ``with`` block in which signals only leave a note and wake the run.

    The note is written by the handler, the wake-up by the interpreter itself (``set_wakeup_fd``): a signal that
    comes in the moment before the sleep begins ends it all the same.
    """

    def __init__(self, bell: PipeBell) -> None:
        super().__init__((signal.SIGINT, signal.SIGTERM), spare_ignored=True, last=signal.SIG_DFL)
        self._bell = bell
        self._old_wakeup = -1

    def __enter__(self) -> Self:
        self._old_wakeup = signal.set_wakeup_fd(self._bell.write_fd, warn_on_full_buffer=False)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.restore()
        signal.set_wakeup_fd(self._old_wakeup)
