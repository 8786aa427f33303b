"""What the sinks with metrics share: each kind of event has a method, and there are pools and queues to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steadypool.model.events import Event
from steadypool.model.sink_protocols import Watched, WatchedQueues
from steadypool.sinks.watched import QueueSources, WatchedPools


class MetricsSink:
    """See the module's text.

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
