"""What the sinks with metrics share: names for labels, the pools and queues that they read, a method for each event."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from steadypool.model.events import Event
from steadypool.model.printable import printable
from steadypool.model.queue_depth import LimitCount, QueueDepth
from steadypool.model.reports import PoolStats
from steadypool.model.sink_protocols import Watched, WatchedQueues

OTHER = "other"
"""Stands for every name beyond the bound."""
MOST_POOLS = MOST_QUEUES = 50
"""So many pools, and so many named queues, have a label of their own."""
T = TypeVar("T")


class BoundedNames:
    """The first *most* different names, and `OTHER` for the rest: each label costs memory wherever metrics are kept.

    Control characters and lone surrogates are written out: for one that is no UTF-8, Prometheus gets no metrics at all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The name as a label. From any thread; two that come at once may exceed the bound by one."""
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self._known) >= self._most:
            return OTHER
        return self._known.setdefault(name, printable(name))


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


class MetricsSink:
    """A sink in whose table each kind of event that it counts has a method.

    Args:
        take: what is called with an event, by its kind. Others are passed over.
    """

    def __init__(
        self, take: Mapping[type[Event], Callable[[Any], None]], pools: WatchedPools, queues: QueueSources
    ) -> None:
        self._take = take
        self._pools = pools
        self._queues = queues

    def __call__(self, event: Event) -> None:
        """Take one event."""
        take = self._take.get(type(event))
        if take is not None:
            take(event)

    def watch(self, pool: Watched) -> None:
        """See `Watcher`."""
        self._pools.add(pool)

    def unwatch(self, pool: Watched) -> None:
        """See `Watcher`."""
        self._pools.discard(pool)

    def watch_queues(self, source: WatchedQueues) -> None:
        """See `QueueWatcher`."""
        self._queues.add(source)

    def unwatch_queues(self, source: WatchedQueues) -> None:
        """See `QueueWatcher`."""
        self._queues.discard(source)
