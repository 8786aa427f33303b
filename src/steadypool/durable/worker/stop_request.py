"""How a worker is asked to end, and by when: by a call from any thread, or by signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from steadypool.model.clock import monotonic
from steadypool.primitives.signal_ladder import SignalLadder

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

    def within(self, seconds: float) -> float:
        """So many seconds, or what remains of them."""
        remaining = self.remaining
        return seconds if remaining is None else min(seconds, remaining)


def stop_on_signals(
    request_drain: Callable[[float | None], None], seconds: float | None
) -> AbstractContextManager[object]:
    """A block on the main thread in which the first SIGTERM or SIGINT drains within *seconds*, the second hurries."""
    return SignalLadder(
        (signal.SIGTERM, signal.SIGINT),
        lambda count: request_drain(seconds if count == 1 else HURRIED),
        spare_ignored=True,
    )
