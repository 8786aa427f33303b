"""The drain ladder: drain until the time limit, cancel until the grace is over, then close whatever happens."""

from __future__ import annotations

from steadypool.model.states import PoolState


def next_state(
    state: PoolState, now: float, deadline: float | None, grace_ends: float | None, all_ended: bool
) -> PoolState:
    """Where a draining pool goes now; its present *state* if it has to wait.

    Args:
        now: the moment.
        deadline: when the drain's time is up; ``None`` for never.
        grace_ends: when what was asked to stop is given up; ``None`` before that.
        all_ended: whether every accepted job has its outcome.
    """
    if state is PoolState.OPEN or state is PoolState.CLOSED:
        return state
    if all_ended:
        return PoolState.CLOSED
    if state is PoolState.DRAINING and deadline is not None and now >= deadline:
        return PoolState.CANCELLING
    if state is PoolState.CANCELLING and grace_ends is not None and now >= grace_ends:
        return PoolState.CLOSED
    return state


def wakes_at(state: PoolState, deadline: float | None, grace_ends: float | None) -> float | None:
    """When `next_state` may answer differently though nothing has happened."""
    if state is PoolState.DRAINING:
        return deadline
    return grace_ends if state is PoolState.CANCELLING else None


def earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two moments, ``None`` being never."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
