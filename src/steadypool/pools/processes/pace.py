"""How long jobs take, as measured: by this `rules.prefetch` says how many a worker holds and how many travel together.

`pools.processes.results` writes the means, the pump reads ``depth``, and `pools.processes.chunk_intake` the mean of the
function.
"""

from __future__ import annotations

from steadypool.primitives.run_times import RunTimes
from steadypool.rules import prefetch

MOST = 256
"""Functions that are remembered."""


class RunSeconds:
    """A moving average for each function. Any thread may read; the core's lock protects the writing."""

    def __init__(self) -> None:
        # By their ids, so that none is kept alive. One with the id of another is judged wrongly until it has run.
        self._means: dict[int, float] = {}

    def note(self, fn: object, seconds: float) -> None:
        """A call, or the mean of some, took so long."""
        key = id(fn)
        mean = self._means.get(key)
        if mean is None and len(self._means) >= MOST:
            self._means.clear()
        self._means[key] = prefetch.moving_average(mean, seconds)

    def of(self, fn: object) -> float | None:
        """How long a call takes; ``None`` if that is not known yet."""
        return self._means.get(id(fn))


class Pace:
    """The averages of one pool. Any thread may read; the core's lock protects the writing."""

    def __init__(self, run_times: RunTimes, packets: bool) -> None:
        self._run_times = run_times
        self._packets = packets
        self.mean: float | None = None
        """How long jobs take, in seconds: a moving average."""
        self.depth = prefetch.depth(None) if packets else 1
        """How many jobs a worker may hold."""
        self.run_seconds = RunSeconds()
        self.item_bytes: float | None = None
        """How big the arguments of items in chunks are."""

    def note(self, packet: float, items: int = 1) -> None:
        """What was in one packet has run that long, all its items together."""
        self.mean = prefetch.moving_average(self.mean, packet)
        self._run_times.add(packet, items)

    def judge(self) -> None:
        """Results have come: how many jobs may a worker hold from now on?"""
        self.depth = prefetch.depth(self.mean) if self._packets else 1
