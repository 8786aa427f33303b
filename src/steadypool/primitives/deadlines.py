"""When running attempts reach their time limits, at next to no cost for each.

Attempts with one and the same limit reach it in the order in which they began. So they stand in a line (a dict, which
keeps its order), and only the first of a line is ever looked at. Adding and removing are one dict operation each, and
no timer belongs to a single attempt. Where limits differ from job to job there would be as many lines as jobs: what
goes beyond `MAX_LINES` is put on the timers, a heap.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from steadypool.primitives.timers import Entry, Timers
from steadypool.rules.drain import earlier

MAX_LINES = 16


class Deadlines:
    """The time limits of one pool's running attempts. For one thread, or for callers that hold a lock."""

    def __init__(self, timers: Timers, time_is_up: Callable[[Any], None]) -> None:
        self._timers = timers
        self._time_is_up = time_is_up
        self._lines: dict[float, dict[Hashable, float]] = {}
        self._others: dict[Hashable, Entry] = {}

    def add(self, job: Hashable, seconds: float, ends: float) -> None:
        """The attempt of *job*, which may run for *seconds*, is to end at *ends*."""
        line = self._lines.get(seconds)
        if line is None:
            if len(self._lines) >= MAX_LINES:
                self._others[job] = self._timers.add(ends, self._other_is_up, job)
                return
            line = self._lines[seconds] = {}
        line[job] = ends

    def remove(self, job: Hashable, seconds: float) -> None:
        """The attempt has ended, or is known to be over its limit. It need not be there."""
        line = self._lines.get(seconds)
        if line is None or line.pop(job, None) is None:
            self._timers.drop(self._others.pop(job, None))

    def next_due(self) -> float | None:
        """When the next attempt reaches its limit; those on the timers aside."""
        nearest: float | None = None
        for seconds, line in list(self._lines.items()):
            if line:
                nearest = earlier(nearest, next(iter(line.values())))
            else:
                del self._lines[seconds]
        return nearest

    def do_due(self, now: float) -> None:
        """Say of each attempt whose limit has passed that its time is up; those on the timers aside."""
        for line in list(self._lines.values()):
            while line:
                job, ends = next(iter(line.items()))
                if ends > now:
                    break
                del line[job]
                self._time_is_up(job)

    def _other_is_up(self, job: Hashable) -> None:
        self._others.pop(job, None)
        self._time_is_up(job)
