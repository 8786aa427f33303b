"""When a worker process that died is replaced. After a job's crash: at once. Before it was ready: ever later."""

from __future__ import annotations

MOST_DEATHS = 5
"""Deaths in a row before a worker was ready, after which the pool is broken rather than spun."""
FIRST_DELAY = 0.05
"""Seconds before the first restart of a worker that died before it was ready."""


def restart_delay(deaths_before_ready: int) -> float | None:
    """Seconds until the next start after that many such deaths in a row; ``None``: give up."""
    if deaths_before_ready == 0:
        return 0.0
    if deaths_before_ready >= MOST_DEATHS:
        return None
    return FIRST_DELAY * 2.0 ** (deaths_before_ready - 1)
