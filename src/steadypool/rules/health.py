"""Whether a pool is alive and ready.

Two questions with two answers. *Ready*: may work be sent here now? *Alive*: can this go on on its own? What ends in
order, or is held up for a while, is alive: to kill it would lose work that a little patience would save.
"""

from __future__ import annotations

from steadypool.model.health import FATAL, HealthReason
from steadypool.model.states import PoolState

LOOP_PATIENCE = 1.0
"""Seconds that an event loop may take to answer before it counts as blocked."""

_ENDING = {
    PoolState.DRAINING: HealthReason.DRAINING,
    PoolState.CANCELLING: HealthReason.CANCELLING,
    PoolState.CLOSED: HealthReason.CLOSED,
}


def reasons_not_ready(
    state: PoolState, *, forked: bool, broken: bool, capacity: int, loop_lag: float | None
) -> tuple[HealthReason, ...]:
    """Why a pool is not ready; empty if it is.

    Args:
        state: where it is in its life.
        forked: whether this is a forked child's copy of it.
        broken: whether its workers cannot be started.
        capacity: how many jobs can run at a time, the stuck workers left out.
        loop_lag: seconds for which its event loop has not answered; ``None`` if the loop is closed.
    """
    if forked:
        return (HealthReason.FORKED,)
    reasons = [_ENDING[state]] if state in _ENDING else []
    if broken:
        reasons.append(HealthReason.BROKEN)
    if state is PoolState.CLOSED:
        return tuple(reasons)
    # A drain past its limit ends within the grace, stuck workers or not; until then it might wait for ever.
    if capacity == 0 and state is not PoolState.CANCELLING:
        reasons.append(HealthReason.ALL_STUCK)
    if loop_lag is None:
        reasons.append(HealthReason.LOOP_ENDED)
    elif loop_lag >= LOOP_PATIENCE:
        reasons.append(HealthReason.LOOP_BLOCKED)
    return tuple(reasons)


def is_alive(reasons: tuple[HealthReason, ...]) -> bool:
    """Whether a pool with these reasons can go on, or end in order, on its own."""
    return FATAL.isdisjoint(reasons)
