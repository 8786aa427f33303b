"""How a worker is asked to end, and by when: by a call from any thread, or by signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any

from steadypool.model.clock import monotonic

SIGNALS = (signal.SIGTERM, signal.SIGINT)
HURRIED = 3.0
"""Seconds that the end may take after the second signal: running jobs are asked to stop at once."""


class StopRequest:
    """Every request is kept, and none can be withdrawn: the end comes by the earliest limit of all."""

    def __init__(self) -> None:
        self.requests: list[float | None] = []
        """Seconds that each request left; ``None``: no limit."""
        self.deadline: float | None = None
        """When everything must be over (`time.monotonic`)."""

    def request(self, seconds: float | None) -> None:
        """End, within *seconds*. Takes no lock: a signal handler may have interrupted a call of this."""
        if seconds is not None:
            deadline = monotonic() + seconds
            self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)
        self.requests.append(seconds)

    @property
    def remaining(self) -> float | None:
        """Seconds until everything must be over, 0 when that has passed; ``None``: there is no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())


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
