"""When a worker process that died is replaced. After a job's crash: at once. Before it was ready: ever later."""

from __future__ import annotations

MOST_DEATHS = 5
"""Deaths in a row before a worker was ready, after which the pool is broken rather than spun."""
MOST_DEATHS_LATER = 8
"""The same for a pool that has had workers: some six seconds."""
LONGEST_DELAY = 10.0
FIRST_DELAY = 0.05
"""Seconds before the first restart of a worker that died before it was ready."""


def restart_delay(deaths_before_ready: int, *, others_live: bool = False, once_ready: bool = False) -> float | None:
    """Seconds until the next start after that many such deaths in a row; ``None``: give up.

    Args:
        deaths_before_ready: how many.
        others_live: whether the pool has workers: it goes on with those, and tries for ever.
        once_ready: whether it has ever had one: it is tried for longer, since that can work.
    """
    if deaths_before_ready == 0:
        return 0.0
    if not others_live and deaths_before_ready >= (MOST_DEATHS_LATER if once_ready else MOST_DEATHS):
        return None
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(deaths_before_ready - 1, 20))
