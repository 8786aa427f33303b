"""The states of a durable job: every legal move stands in this file.

Each engine moves jobs in its own language. `tests/durable/conformance/test_moves.py` holds all of them to `MOVES`.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a durable job is. The names are those that River and Oban agree on."""

    SCHEDULED = "scheduled"
    """Waits for its time: enqueued with a delay, or put back with one. `claim` moves it on when that has come.

    Or no worker so far has known its task; `recall` moves it on.
    """
    WAITING = "waiting"
    """Waits for other jobs (``after=``). The settlement by which the last of them ends moves it on, or `tend`."""
    AVAILABLE = "available"
    """May be claimed now."""
    RUNNING = "running"
    """Claimed: its worker holds a lease on it. A settlement moves it on, or a sweep once the worker is gone."""
    RETRYABLE = "retryable"
    """An attempt was spent, another follows when its time has come. `claim` moves it on."""
    COMPLETED = "completed"
    """It returned. Final."""
    DISCARDED = "discarded"
    """It failed for good, or killed too many workers. Only `retry` moves it on."""
    CANCELLED = "cancelled"
    """Its user cancelled it. Only `retry` moves it on."""


_WAITS = frozenset({JobState.AVAILABLE, JobState.CANCELLED, JobState.DISCARDED})

MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.SCHEDULED: _WAITS,
    JobState.WAITING: _WAITS | {JobState.SCHEDULED},
    JobState.AVAILABLE: frozenset({JobState.RUNNING, JobState.SCHEDULED, JobState.CANCELLED, JobState.DISCARDED}),
    JobState.RUNNING: frozenset(JobState) - {JobState.RUNNING, JobState.WAITING},
    JobState.RETRYABLE: _WAITS,
    JobState.COMPLETED: frozenset(),
    JobState.DISCARDED: frozenset({JobState.AVAILABLE, JobState.WAITING}),
    JobState.CANCELLED: frozenset({JobState.AVAILABLE, JobState.WAITING}),
}

WAITING = frozenset({JobState.SCHEDULED, JobState.WAITING, JobState.AVAILABLE, JobState.RETRYABLE})
"""Not running, and will be."""
ENDED = frozenset({JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED})
"""Out of the hot tables, kept for a while."""


def state_named(name: str) -> JobState:
    """The state of that name.

    Raises:
        ValueError: there is none.
    """
    try:
        return JobState(name)
    except ValueError:
        raise ValueError(f"state must be one of {', '.join(JobState)}, not {name!r}") from None
