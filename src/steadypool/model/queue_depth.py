"""How much waits in a named queue, and under a limit: `QueueDepth`, `LimitCount`."""

from dataclasses import dataclass

MOST_COUNTED = 20_000
"""A count stops there: to count a million jobs each few seconds would cost too much."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One named queue of a durable queue, counted up to `MOST_COUNTED`; ``None``: not known now."""

    name: str
    answers: bool = True
    """Whether the store has reported it recently."""
    paused: bool | None = None
    available: int | None = None
    oldest_available: float | None = None
    """Seconds since the available job was enqueued that has waited longest; 0.0 if there is none."""
    scheduled: int | None = None
    retryable: int | None = None
    running: int | None = None
    """On any worker."""
    discarded: int | None = None
    """As long as their records are kept."""
    waiting: int | None = None
    """For other jobs."""


@dataclass(frozen=True, slots=True)
class LimitCount:
    """How much is at work under one limit of a durable queue."""

    name: str
    running: int
    """On any worker, of all keys."""
    waiting: int
    """Available jobs that have to pass it, whether it is what holds them back or not; counted up to a bound."""
