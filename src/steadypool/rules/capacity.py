"""How many workers a pool may have."""

from __future__ import annotations


def stuck_replaced(max_workers: int, stuck: int) -> int:
    """How many stuck workers are replaced: at most as many as there are workers, or stuck ones would pile up."""
    return min(stuck, max_workers)


def capacity(max_workers: int, stuck: int) -> int:
    """How many jobs can run at a time, *stuck* workers left behind."""
    return max(0, max_workers - (stuck - stuck_replaced(max_workers, stuck)))


def lent_limit(max_workers: int) -> int:
    """How many spare workers may stand in for jobs that wait for their own pool."""
    return max(64, 4 * max_workers)


def workers_allowed(max_workers: int, stuck: int, lent: int) -> int:
    """Workers that may live beside the stuck ones. A job that waits for its own pool lends its place to a spare."""
    return capacity(max_workers, stuck) + min(lent, lent_limit(max_workers))
