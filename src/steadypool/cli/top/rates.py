"""How fast a pool works: what changed between two snapshots, by the seconds between them."""

from __future__ import annotations

from dataclasses import dataclass

from steadypool.model.snapshots import PoolSnapshot, Snapshot


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second."""

    accepted: float
    ended: float
    failed: float
    """Jobs that ended otherwise than well."""
    retries: float


def rates_between(before: Snapshot | None, now: Snapshot) -> dict[int, Rates]:
    """The rates of each pool that is in both, by its number."""
    if before is None or now.at <= before.at:
        return {}
    known = {pool.number: pool for pool in before.pools}
    seconds = now.at - before.at
    return {pool.number: _rates(known[pool.number], pool, seconds) for pool in now.pools if pool.number in known}


def _rates(before: PoolSnapshot, now: PoolSnapshot, seconds: float) -> Rates:
    old, new = before.stats, now.stats
    return Rates(
        accepted=(new.accepted - old.accepted) / seconds,
        ended=(new.ended - old.ended) / seconds,
        failed=(new.ended - new.succeeded - old.ended + old.succeeded) / seconds,
        retries=(new.retries - old.retries) / seconds,
    )
