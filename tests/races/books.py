"""What must be true of a pool's books, whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from steadypool import JobFuture, Outcome, PoolStats


def check_sample(stats: PoolStats) -> None:
    """At any moment, under any load."""
    assert stats.balanced, stats
    assert stats.waiting >= 0, stats
    assert 0 <= stats.running <= stats.max_workers, stats
    assert stats.retrying >= 0, stats


def check_final(stats: PoolStats, futures: Iterable[JobFuture[Any]]) -> None:
    """When nothing is left to do: each of the *futures*, which are all there were, is in its place."""
    all_futures = list(futures)
    ended = Counter(future.outcome for future in all_futures)
    assert None not in ended, [future for future in all_futures if future.outcome is None]
    assert {outcome: getattr(stats, outcome.value) for outcome in Outcome if getattr(stats, outcome.value)} == ended
    assert stats.accepted == len(all_futures), stats
    assert stats.waiting == stats.running == stats.retrying == 0, stats
    assert stats.balanced, stats
