"""SIGTERM and SIGINT for a durable worker: the first drains, the second cancels what runs, the third has its old
meaning."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopOnSignals:
    """A ``with`` block on the main thread. The handlers do nothing but ask for the drain, which only wakes the loop."""

    def __init__(self, request_drain: Callable[[float | None], None], seconds: float | None) -> None:
        self._request_drain = request_drain
        self._seconds = seconds
        self._received = 0
        self._old: dict[int, Any] = {}

    @staticmethod
    def none() -> AbstractContextManager[object]:
        """A block without signals."""
        return nullcontext()

    def __enter__(self) -> StopOnSignals:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and a shell's background jobs
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received += 1
        if self._received == 1:
            self._request_drain(self._seconds)
        elif self._received == 2:
            self._request_drain(HURRIED)
        else:
            signal.signal(number, self._old.get(number, signal.SIG_DFL))
            os.kill(os.getpid(), number)


HURRIED = 3.0
"""Seconds that the end may take after the second signal: what runs is told at once, and what can be is written down."""
