"""The run's own count: what became of the lines, and what is said of those that were not done."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """How far the run is. Only the run's thread touches it."""

    taken: int = 0
    """Lines handed to the pool, and so the number of the last of them."""
    succeeded: int = 0
    failed: int = 0
    """Lines whose job failed, timed out or crashed."""
    timed_out: int = 0
    """Those among the failed that went over a time limit."""
    not_done: int = 0
    """Lines taken and handed back, or interrupted, because the run ended early."""
    bytes_ended: int = 0
    """Bytes of the input whose lines have ended."""

    @property
    def ended(self) -> int:
        """Lines that have an outcome."""
        return self.succeeded + self.failed + self.not_done

    @property
    def under_way(self) -> int:
        """Lines that wait in the pool or run."""
        return self.taken - self.ended

    def after_signal(self, number: int) -> str:
        """What a signal left undone, and where to go on."""
        handed_back = f", {self.not_done:,} read but not done" if self.not_done else ""
        return (
            f"stopped by {signal.Signals(number).name} after line {self.taken:,}: {self.succeeded:,} succeeded, "
            f"{self.failed:,} failed{handed_back}; nothing after line {self.taken:,} was started"
        )

    def after_failure(self) -> str:
        """What ``--fail-fast`` left undone."""
        return f"stopped at the first failure, after line {self.taken:,}: {self.not_done:,} read but not done"

    def after_drain(self) -> str:
        """What was left undone when another process drained the pool, such as `steadypool top`."""
        return (
            f"the pool was drained from outside after line {self.taken:,}: {self.succeeded:,} succeeded, "
            f"{self.failed:,} failed, {self.not_done:,} read but not done; nothing after that line was started"
        )
