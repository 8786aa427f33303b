"""The workers of durable queues whose figures a sink reads when it is asked for numbers."""

from __future__ import annotations

import threading
import weakref
from collections import Counter

from steadypool.model.queue_depth import QueueDepth
from steadypool.model.sink_protocols import WatchedQueues
from steadypool.sinks.labels import BoundedNames

MOST_QUEUES = 50
"""So many named queues have a label of their own."""


class QueueSources:
    """Held weakly. From any thread."""

    def __init__(self, tasks: BoundedNames) -> None:
        self._queue_label = BoundedNames(MOST_QUEUES)
        self._task_label = tasks
        self._lock = threading.Lock()
        self._sources: list[weakref.ref[WatchedQueues]] = []

    def add(self, source: WatchedQueues) -> None:
        """Read this worker's figures too."""
        with self._lock:
            if all(known() is not source for known in self._sources):
                self._sources.append(weakref.ref(source))

    def discard(self, source: WatchedQueues) -> None:
        """Do not any more."""
        with self._lock:
            self._sources = [known for known in self._sources if known() not in (None, source)]

    def _all(self) -> list[WatchedQueues]:
        with self._lock:
            return [source for known in self._sources if (source := known()) is not None]

    def depths(self) -> dict[str, QueueDepth]:
        """By the queue's label. Of several workers on one queue, what the first says: all look at the same."""
        found: dict[str, QueueDepth] = {}
        for source in self._all():
            for depth in source.depths():
                found.setdefault(self._queue_label(depth.name), depth)
        return found

    def failures(self) -> Counter[tuple[str, str, str]]:
        """How many attempts have failed, by the labels of queue and task, and by what came next."""
        found: Counter[tuple[str, str, str]] = Counter()
        for source in self._all():
            for (queue, task, then), count in source.failures().items():
                found[self._queue_label(queue), self._task_label(task), then] += count
        return found
