"""The pools whose books a sink reads when it is asked for numbers."""

from __future__ import annotations

import threading
import weakref

from steadypool.model.reports import PoolStats
from steadypool.model.sink_protocols import Watched
from steadypool.sinks.labels import BoundedNames

MOST_POOLS = 50
"""So many pools have a label of their own."""


class WatchedPools:
    """Held weakly: who watches a pool does not keep it. From any thread."""

    def __init__(self) -> None:
        self.label = BoundedNames(MOST_POOLS)
        """What a pool of a name is called in metrics."""
        self._lock = threading.Lock()
        self._pools: list[weakref.ref[Watched]] = []

    def add(self, pool: Watched) -> None:
        """Read this pool's books too."""
        with self._lock:
            if all(known() is not pool for known in self._pools):
                self._pools.append(weakref.ref(pool))

    def discard(self, pool: Watched) -> None:
        """Do not any more."""
        with self._lock:
            self._pools = [known for known in self._pools if known() not in (None, pool)]

    def books(self) -> dict[str, list[PoolStats]]:
        """The books now, by the pool's label: several pools may have one name."""
        with self._lock:
            self._pools = [known for known in self._pools if known() is not None]
            pools = [pool for known in self._pools if (pool := known()) is not None]
        books: dict[str, list[PoolStats]] = {}
        for pool in pools:
            books.setdefault(self.label(pool.name), []).append(pool.stats())
        return books
