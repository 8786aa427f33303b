"""When a limit lets a job start: how many run, and how many have started.

Starts are counted by one timestamp (the "generic cell rate algorithm"). ``tat`` is when the next start is due, if they
come evenly spaced: each start moves it by ``per / starts``. It may lie in the future by as much as the burst allows.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from steadypool.model.limit import Limit

A_HAIR = 1e-6
"""Seconds that sums of floats may be off."""


class Allowance(NamedTuple):
    """What a limit allows for one key; ``None``: it says nothing about that."""

    running: int | None = None
    starts: int | None = None
    per: float | None = None
    burst: int | None = None

    @property
    def interval(self) -> float:
        """Seconds from one start to the next, in the mean; 0.0 if starts are not counted."""
        return 0.0 if self.starts is None or self.per is None else self.per / self.starts if self.starts else inf


def allowance_of(limit: Limit) -> Allowance:
    """What the code says."""
    assert limit.per is None or isinstance(limit.per, float)  # `Limit` takes a timedelta, and keeps seconds
    return Allowance(limit.running, limit.starts, limit.per, limit.burst)


def merged(*layers: Allowance | None) -> Allowance:
    """What holds: of each number the last layer that says something about it.

    In order: what the code says, what was set by hand for the limit, what was set by hand for the key.
    """
    held = Allowance()
    for layer in layers:
        if layer is not None:
            said = {name: value for name, value in layer._asdict().items() if value is not None}
            held = held._replace(**said)
    return held


def opens_at(allowed: Allowance, running: int, tat: float | None) -> float:
    """The moment from which a job may start, while *running* do. ``-inf``: any; ``inf``: one has to end first."""
    if allowed.running is not None and running >= allowed.running:
        return inf
    interval = allowed.interval
    if not interval or tat is None:
        return inf if interval == inf else -inf
    burst = allowed.starts if allowed.burst is None else allowed.burst
    assert burst is not None
    return tat - (burst - 1) * interval


def after_start(allowed: Allowance, tat: float | None, now: float) -> float | None:
    """The timestamp once a job has started; ``None`` if starts are not counted."""
    interval = allowed.interval
    return (now if tat is None else max(tat, now)) + interval if 0.0 < interval < inf else tat


def no_later(allowed: Allowance, tat: float | None, now: float) -> float | None:
    """The timestamp, no further ahead than these numbers can have moved it: others did, or another clock."""
    interval = allowed.interval
    burst = allowed.starts if allowed.burst is None else allowed.burst
    if tat is None or burst is None or not 0.0 < interval < inf:
        return tat
    latest = now + burst * interval
    return latest if tat > latest + A_HAIR else tat


def after_refund(allowed: Allowance, tat: float | None) -> float | None:
    """The timestamp when a start is given back: it did not count after all."""
    interval = allowed.interval
    return tat - interval if tat is not None and 0.0 < interval < inf else tat


def why_held(name: str, key: str, allowed: Allowance, running: int, wait: float) -> str:
    """A closed gate in words: ``limit stripe: 5 of 5 running``. By its rate it opens in *wait* seconds."""
    gate = f"limit {name}, key {key!r}" if key else f"limit {name}"
    if allowed.running is not None and running >= allowed.running:
        return f"{gate}: {running} of {allowed.running} running"
    starts = "1 start" if allowed.starts == 1 else f"{allowed.starts} starts"
    return f"{gate}: {starts} in {allowed.per:g} s, the next in {max(wait, 0.0):.1f} s"
