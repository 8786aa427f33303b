"""How long a drain would take from now, and when to say that it would take too long."""

from __future__ import annotations

from collections.abc import Iterable

RELIEF = 0.8
"""An estimate has to fall to this share of the limit before another warning: near the limit it goes up and down."""


def drain_estimate(
    mean: float | None, waiting: int, running: Iterable[tuple[float, float | None]], capacity: int
) -> float | None:
    """Seconds until everything accepted would have ended; ``None`` if no run has been measured.

    Args:
        mean: how long a run takes on average, in seconds; ``None``: not known.
        waiting: jobs that have still to run.
        running: of each job that runs, for how many seconds it has, and for how many its time limit still lets it
            (``None``: no limit).
        capacity: how many jobs can run at a time.
    """
    if mean is None:
        return None
    rests = [_rest(mean, ran, left) for ran, left in running]
    longest = max(rests, default=0.0)
    return max(longest, mean if waiting else 0.0, (waiting * mean + sum(rests)) / max(1, capacity))


def _rest(mean: float, ran: float, left: float | None) -> float:
    """What a running job still takes: what is missing from the average, or, beyond that, as much as it is over."""
    rest = abs(mean - ran)
    return rest if left is None else min(rest, max(0.0, left))


def warns(warned: bool, estimate: float | None, limit: float) -> tuple[bool, bool]:
    """Whether to warn now of an estimate over the limit, and whether that counts as *warned* from now on."""
    if estimate is None:
        return False, warned
    if estimate > limit:
        return not warned, True
    return False, warned and estimate > RELIEF * limit
