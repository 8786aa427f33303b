"""The run's own count: what became of the lines."""

from __future__ import annotations

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
