"""What is to be done later: retries, total time limits, the ends of graces. One heap, and no thread of its own."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Entry:
    """One thing to do at ``due``. Dropping it frees what it refers to at once."""

    __slots__ = ("action", "args", "due", "order")

    def __init__(self, due: float, order: int, action: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
        self.due = due
        self.order = order
        self.action = action
        self.args = args

    def __lt__(self, other: Entry) -> bool:
        return (self.due, self.order) < (other.due, other.order)


NEVER_DUE = Entry(float("inf"), 0, None, ())
"""Stands for one where there is nothing to do."""


class Timers:
    """Entries by the moment they are due. The caller holds the pool's lock for every method."""

    COMPACT_AT = 64
    """Dropped entries are swept out once there are this many and they are the greater part."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._order = itertools.count()
        self._dropped = 0

    def add(self, due: float, action: Callable[..., None], *args: Any) -> Entry:
        """Have ``action(*args)`` done at *due* (`time.monotonic`)."""
        entry = Entry(due, next(self._order), action, args)
        heapq.heappush(self._heap, entry)
        return entry

    def drop(self, entry: Entry | None) -> bool:
        """Take an entry off. False if it is done or dropped already: another thread has it."""
        if entry is None or entry.action is None:
            return False
        self._empty(entry)
        self._dropped += 1
        if self._dropped >= self.COMPACT_AT and self._dropped * 2 > len(self._heap):
            self._heap = [e for e in self._heap if e.action is not None]
            heapq.heapify(self._heap)
            self._dropped = 0
        return True

    def next_due(self) -> float | None:
        """When the next entry is due."""
        while self._heap and self._heap[0].action is None:
            heapq.heappop(self._heap)
            self._dropped -= 1
        return self._heap[0].due if self._heap else None

    def take_due(self, now: float) -> tuple[Callable[..., None], tuple[Any, ...]] | None:
        """Take what is due at *now*, if anything is."""
        due = self.next_due()
        if due is None or due > now:
            return None
        entry = heapq.heappop(self._heap)
        action, args = entry.action, entry.args
        assert action is not None
        self._empty(entry)
        return action, args

    def planned(self, action: Callable[..., None]) -> list[tuple[Any, ...]]:
        """The arguments of every entry with this action."""
        return [entry.args for entry in self._heap if entry.action == action]

    @staticmethod
    def _empty(entry: Entry) -> None:
        entry.action = None
        entry.args = ()
