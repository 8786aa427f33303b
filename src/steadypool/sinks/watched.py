"""The pools and the workers of durable queues whose figures a sink reads when it is asked for numbers."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from steadypool.model.queue_depth import LimitCount, QueueDepth
from steadypool.model.reports import PoolStats
from steadypool.model.sink_protocols import Watched, WatchedQueues
from steadypool.sinks.labels import BoundedNames

MOST_POOLS = MOST_QUEUES = 50
"""So many pools, and so many named queues, have a label of their own."""
T = TypeVar("T")


class Sources(Generic[T]):
    """Held weakly: what is watched is not kept by that. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: list[weakref.ref[T]] = []

    def add(self, source: T) -> None:
        """Read this one's figures too."""
        with self._lock:
            if all(known() is not source for known in self._known):
                self._known.append(weakref.ref(source))

    def discard(self, source: T) -> None:
        """Do not any more."""
        with self._lock:
            self._known = [known for known in self._known if known() not in (None, source)]

    def present(self) -> list[T]:
        """Those that are there now."""
        with self._lock:
            self._known = [known for known in self._known if known() is not None]
            return [source for known in self._known if (source := known()) is not None]


class WatchedPools(Sources[Watched]):
    """The pools, and what each name is called in metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.label = BoundedNames(MOST_POOLS)

    def books(self) -> dict[str, list[PoolStats]]:
        """The books now, by the pool's label: several pools may have one name."""
        books: dict[str, list[PoolStats]] = {}
        for pool in self.present():
            books.setdefault(self.label(pool.name), []).append(pool.stats())
        return books


class QueueSources(Sources[WatchedQueues]):
    """The workers."""

    def __init__(self, tasks: BoundedNames) -> None:
        super().__init__()
        self._queue_label = BoundedNames(MOST_QUEUES)
        self._limit_label = BoundedNames(MOST_QUEUES)
        self._task_label = tasks

    def depths(self) -> dict[str, list[QueueDepth]]:
        """One by each queue's label. Of several workers on one queue, what the first says: all look at the same."""
        found: dict[str, list[QueueDepth]] = {}
        for source in self.present():
            for depth in source.depths():
                found.setdefault(self._queue_label(depth.name), [depth])
        return found

    def limits(self) -> dict[str, list[LimitCount]]:
        """One by each limit's label, likewise."""
        found: dict[str, list[LimitCount]] = {}
        for source in self.present():
            for count in source.limits():
                found.setdefault(self._limit_label(count.name), [count])
        return found

    def failures(self) -> Counter[tuple[str, str, str]]:
        """How many attempts have failed, by the labels of queue and task, and by what came next."""
        return self._labelled(source.failures() for source in self.present())

    def ticks(self) -> Counter[tuple[str, str, str]]:
        """How many ticks of schedules came up, by the same labels, and by what became of them."""
        return self._labelled(source.ticks() for source in self.present())

    def _labelled(self, counts: Iterable[Mapping[tuple[str, str, str], int]]) -> Counter[tuple[str, str, str]]:
        found: Counter[tuple[str, str, str]] = Counter()
        for one in counts:
            for (queue, task, then), count in one.items():
                found[self._queue_label(queue), self._task_label(task), then] += count
        return found
