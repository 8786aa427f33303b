"""The states of a pool and how a job ends: every legal move stands in this file."""

from __future__ import annotations

from enum import StrEnum

from steadypool.model.errors import InternalError


class PoolState(StrEnum):
    """The states of a pool."""

    OPEN = "open"
    """Takes jobs. A drain, a shutdown or a failed initializer moves it on."""
    DRAINING = "draining"
    """Takes no more, runs what it has. Moves on when all jobs have ended or the time is up."""
    CANCELLING = "cancelling"
    """Gives back what waits, has told what runs to stop. Moves on after the grace at the latest."""
    CLOSED = "closed"
    """Every job has its outcome. Final."""


MOVES: dict[PoolState, frozenset[PoolState]] = {
    PoolState.OPEN: frozenset({PoolState.DRAINING}),
    PoolState.DRAINING: frozenset({PoolState.CANCELLING, PoolState.CLOSED}),
    PoolState.CANCELLING: frozenset({PoolState.CLOSED}),
    PoolState.CLOSED: frozenset(),
}


def move(state: PoolState, to: PoolState) -> PoolState:
    """Return *to* if a pool in *state* may go there, or raise `InternalError` and change nothing."""
    if to not in MOVES[state]:
        raise InternalError(f"a pool cannot go from {state.value} to {to.value}")
    return to


class Outcome(StrEnum):
    """How a job ended. Every accepted job gets exactly one."""

    SUCCEEDED = "succeeded"
    """It returned."""
    FAILED = "failed"
    """It raised, and no retry was left."""
    TIMED_OUT = "timed_out"
    """Its ``timeout`` or ``total_timeout`` passed."""
    CANCELLED = "cancelled"
    """It was cancelled: by hand, by its group, or pushed out of a full queue."""
    CRASHED = "crashed"
    """Its worker process died."""
    RETURNED = "returned"
    """It never started: a drain or shutdown handed it back."""
    INTERRUPTED = "interrupted"
    """It had started: a drain stopped it, or left it stuck."""


NEVER_LOOKED_AT = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED})
"""The outcomes that are reported when the program never looked at the future."""
