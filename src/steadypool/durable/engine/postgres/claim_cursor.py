"""Where a claim begins to look: behind what was claimed before. Numbers alone, no connection.

As long as some session holds a snapshot (a report, a dump, a forgotten transaction), deleted entries of `ready` stay in
its index, and a claim that begins at the head of the queue walks over all of them: with a million, a batch takes
50 ms instead of 3. So a claim begins behind the number that was claimed last, for each priority of each queue.

What lies before a mark can still be claimable: a job that was put back, whose putting committed late, or of a store
that has gone back in time. So a claim
looks from the beginning once a second in any case, and when the marks did not give enough: then, however, for no more
than a twentieth of the time, should it be slow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

LOWEST, HIGHEST = -(2**63), 2**63 - 1
FULL_LOOK_EVERY = 1.0
CHEAP = 0.002
"""A full look that takes no longer than this (seconds) is not counted."""
SHARE = 20
MOST_RANKS = 32
"""Who uses more priorities than that in one queue begins at its head."""


class Ranges(NamedTuple):
    """Parts of the queues, in the order in which they are looked at: after one (rank, number), and up to another."""

    queue: list[str]
    after_rank: list[int]
    after: list[int]
    upto_rank: list[int]
    upto: list[int]


class ClaimCursor:
    """The marks of one engine object; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[str, dict[int, int]] = {}
        self._looked = float("-inf")
        self._cost = 0.0

    def ranges(self, queues: Sequence[str]) -> Ranges:
        """What to look at: everything but what lies between the first of a rank and its mark."""
        ranges = Ranges([], [], [], [], [])

        def add(*part: Any) -> None:
            columns: tuple[list[Any], ...] = ranges
            for column, value in zip(columns, part, strict=True):
                column.append(value)

        with self._lock:
            for queue in queues:
                after = (LOWEST, LOWEST)
                for rank, mark in sorted(self._marks.get(queue, {}).items()):
                    add(queue, *after, rank, LOWEST)
                    add(queue, rank, mark, rank, HIGHEST)
                    after = (rank, HIGHEST)
                add(queue, *after, HIGHEST, HIGHEST)
        return ranges

    def claimed(self, entries: Iterable[tuple[str, int, int]], *, from_the_beginning: bool = False) -> None:
        """These (queue, rank, number) were claimed.

        Args:
            from_the_beginning: by a look from there, and there may be more right behind them. Then marks go back to
                them: many jobs were put back, or the store has gone back in time and gives lower numbers again.
        """
        with self._lock:
            if from_the_beginning:
                self._marks.clear()
            for queue, rank, number in entries:
                ranks = self._marks.setdefault(queue, {})
                ranks[rank] = max(number, ranks.get(rank, LOWEST))
                if len(ranks) > MOST_RANKS:
                    ranks.clear()

    def must_look(self, now: float) -> bool:
        """Whether it is time for a look from the beginning."""
        return now - self._looked >= FULL_LOOK_EVERY

    def may_look(self, now: float) -> bool:
        """Whether one is allowed, if the marks do not give enough."""
        return self._cost <= CHEAP or now - self._looked >= self._cost * SHARE

    def looked(self, now: float, cost: float) -> None:
        """One was made, and took so many seconds."""
        self._looked, self._cost = now, cost

    def look_soon(self) -> None:
        """Something was put back, here: look from the beginning."""
        self._looked = float("-inf")
