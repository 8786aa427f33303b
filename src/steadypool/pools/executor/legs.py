"""What is in flight in a map: futures, or on processes chunks of many items, which may turn into futures on the way."""

from __future__ import annotations

import threading
from collections import Counter, deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from steadypool.pools.core.core import Core
from steadypool.primitives.future import JobFuture

R = TypeVar("R")


class Chunk(Protocol[R]):
    """What a map asks of items that travel together."""

    _size: int
    jobs: list[JobFuture[R]] | None

    def next(self, deadline: float | None) -> list[R] | None:
        """The next results, in order; ``None`` once ``jobs`` have taken their place."""

    def cancel(self) -> object:
        """Cancel the items that have not started."""


Leg = JobFuture[R] | Chunk[R]
"""What is in flight: a job, or on processes items that travel together."""
Landed = SimpleQueue["JobFuture[R] | tuple[Chunk[R], list[R] | None] | None"]
"""What has come of the legs of a map whose results are given as they end; ``None``: look again."""


def items_of(leg: Leg[R]) -> int:
    """How many items travel in a leg."""
    return leg._size


class Landing(Generic[R]):
    """Notes that a job has ended."""

    __slots__ = ("_future", "_landed")

    def __init__(self, future: JobFuture[R], landed: Landed[R]) -> None:
        self._future = future
        self._landed = landed

    def release(self) -> None:
        """Note it."""
        self._landed.put(self._future)


class Flight(Generic[R]):
    """Legs in flight, and what has come of them, in the order it did.

    The submitter adds legs; the caller alone takes what has landed. A chunk may have landed before it is added; a
    future lands after it, and needs no lock.
    """

    def __init__(self) -> None:
        self.landed: Landed[R] = SimpleQueue()
        self.aloft: set[Leg[R]] = set()
        self._given: Counter[Leg[R]] = Counter()
        self._early: set[Leg[R]] = set()
        # Reentrant: the garbage collector may run anything that submits to another map, and ends in this one.
        self._lock = threading.RLock()
        self.held: deque[JobFuture[R] | tuple[Chunk[R], list[R] | None] | None] = deque()
        """What landed while input was waited for."""

    def add(self, leg: Leg[R]) -> None:
        """Wait for this one too."""
        if isinstance(leg, JobFuture):
            self.aloft.add(leg)
            leg._wake_when_done(Landing(leg, self.landed))
            return
        with self._lock:
            if leg in self._early:
                self._early.discard(leg)
            else:
                self.aloft.add(leg)

    def _has_landed(self, chunk: Chunk[R]) -> None:
        with self._lock:
            if chunk in self.aloft:
                self.aloft.discard(chunk)
            else:
                self._early.add(chunk)

    def sleep(self, seconds: float | None) -> None:
        """Until something lands, or the window wakes it."""
        with suppress(Empty):
            self.held.append(self.landed.get(timeout=seconds))

    def next(self, core: Core) -> JobFuture[R] | list[R]:
        """The next one to have ended, or the next values of a chunk; no values: look again."""
        if self.held:
            came = self.held.popleft()
        else:
            waiting = core.begin_wait(None)
            try:
                came = self.landed.get()
            finally:
                core.end_wait(waiting)
        if came is None:
            return []
        if isinstance(came, JobFuture):
            self.aloft.discard(came)
            return came
        chunk, values = came
        if values is None:
            for job in chunk.jobs or ():
                self.add(job)
        else:
            self._given[chunk] += len(values)
        if values is None or self._given[chunk] == chunk._size:
            self._has_landed(chunk)
            del self._given[chunk]
        return values or []
