"""What the pages read of a queue: over a connection of their own that cannot write, and through the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from steadypool.contrib.web.cache import FRESH, Cache
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.url import for_reading

T = TypeVar("T")
TIMEOUT = 2.0
"""Seconds that a page waits for the database at most."""


class Reader:
    """Reads the store of a queue. Any thread may call it."""

    def __init__(self, queue: Queue) -> None:
        self._of = queue
        self._lock = threading.Lock()
        self._queue: Queue | None = None
        self.cache = Cache()

    @property
    def queue(self) -> Queue:
        """The same queue, without its tasks, and with a connection that only reads."""
        with self._lock:
            if self._queue is None:
                self._queue = Queue(for_reading(self._of.url))
            self._queue.engine.timeout = TIMEOUT
            return self._queue

    @property
    def engine(self) -> Engine:
        """Its engine."""
        return self.queue.engine

    def read(self, key: Hashable, look: Callable[[Engine], T], seconds: float = FRESH) -> T:
        """What *look* finds, or has found just now."""
        return self.cache.get(key, lambda: look(self.engine), seconds)

    def close(self) -> None:
        """Give the connection back; the next look opens another."""
        with self._lock:
            queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()
