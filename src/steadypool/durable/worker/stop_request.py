"""What a worker was told by its caller: to end, and by when. Any thread may say so, and a signal handler."""

from __future__ import annotations

from steadypool.model.clock import monotonic


class StopRequest:
    """Every order is kept, and none is taken back: the end comes by the earliest limit of all."""

    def __init__(self) -> None:
        self.given: list[float | None] = []
        """Seconds that each order left; ``None``: no limit."""
        self.until: float | None = None
        """When everything must be over (`time.monotonic`)."""

    def end(self, seconds: float | None) -> None:
        """End, within *seconds*. Takes no lock: a signal handler may have interrupted whoever is in here."""
        if seconds is not None:
            until = monotonic() + seconds
            self.until = until if self.until is None else min(self.until, until)
        self.given.append(seconds)

    @property
    def left(self) -> float | None:
        """Seconds until everything must be over, 0 when that has passed; ``None``: there is no limit."""
        return None if self.until is None else max(0.0, self.until - monotonic())
