"""A stopwatch that leaves out the time for which the machine did not let this process run.

A drain is to return within its limits and half a second. On a machine where other programs take every processor for a
second, nothing does; so a thread ticks beside what is timed, and what its ticks come late is not counted.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

TICK = 0.01


class Stopwatch:
    """A ``with`` block; `seconds` is what its body took, `in_all` with what is left out."""

    def __enter__(self) -> Self:
        self._late = 0.0
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick)
        self._ticker.start()
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_all = time.monotonic() - self._began
        self._over.set()
        self._ticker.join()
        self.seconds = max(0.0, self.in_all - self._late)

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._over.wait(TICK):
            now = time.monotonic()
            self._late += now - last - TICK
            last = now
