"""Signals that end a program: the first asks for an orderly end, the second for a quick one, the third means what it
meant before.

The handlers run on the main thread, between two of its steps, whatever locks it holds there. So a step may only leave a
note and wake what reads it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Self

STEPS = 2


class SignalLadder:
    """A block on the main thread. The old handlers come back at its end, and before one of them is called.

    Args:
        signals: those that count.
        step: called by the handler, with how many signals have come.
        steps: so many call *step*; those after them have their old meaning. ``None``: all do.
        spare_ignored: leave those alone that are ignored: of a program under ``nohup``, or in a shell's background.
        last: what signals mean after the steps, if not what they meant before.
    """

    def __init__(
        self,
        signals: Iterable[int],
        step: Callable[[int], object] = lambda count: None,
        *,
        steps: int | None = STEPS,
        spare_ignored: bool = False,
        last: signal.Handlers | None = None,
    ) -> None:
        self.signals = [signal.Signals(number) for number in signals]
        self.received: list[int] = []
        """The signals that have come."""
        self._step = step
        self._steps = steps
        self._spare_ignored = spare_ignored
        self._last = last
        self._old: dict[int, Any] = {}
        self._pid = os.getpid()

    @property
    def first(self) -> int | None:
        """The signal that came first, if one did."""
        return self.received[0] if self.received else None

    def __enter__(self) -> Self:
        try:
            for number in self.signals:
                if not (self._spare_ignored and signal.getsignal(number) is signal.SIG_IGN):
                    self._old[number] = signal.signal(number, self._handle)
        except BaseException:
            self.restore()  # SIGKILL, say, cannot be caught
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals their old handlers. Once is enough, twice does no harm."""
        while self._old:
            number, old = self._old.popitem()
            if old is not None:  # None: it was not set from Python, and cannot be set again
                signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_copy = self._pid != os.getpid()  # a forked child has inherited this handler
        if not is_copy:
            self.received.append(number)
        if not is_copy and (self._steps is None or len(self.received) <= self._steps):
            self._step(len(self.received))
            return
        old = self._old.get(number) if is_copy or self._last is None else self._last
        self.restore()
        call_previous(old, number, frame)


def call_previous(old: Any, number: int, frame: FrameType | None) -> None:
    """Do with a signal what its handler before ours would have done."""
    if callable(old):
        old(number, frame)
    elif old == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
