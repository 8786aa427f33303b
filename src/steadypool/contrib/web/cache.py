"""What was read a moment ago is shown to all who ask for it now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from steadypool.model.clock import monotonic

T = TypeVar("T")
FRESH = 1.0
"""Seconds for which an answer is given again."""
MOST = 200
"""Answers that are kept."""


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = float("-inf")
        self.value: Any = None


class Cache:
    """Of one dashboard. Of many who ask for the same at a time, one reads, and the others wait for that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def get(self, key: Hashable, read: Callable[[], T], seconds: float = FRESH) -> T:
        """What *read* returns, or has returned within the last *seconds*. What it raises is not kept."""
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            self._entries[key] = entry  # the latest asked for stands last
            while len(self._entries) > MOST:
                del self._entries[next(iter(self._entries))]
        with entry.lock:
            if monotonic() >= entry.until:
                entry.value = read()
                entry.until = monotonic() + seconds
            value: T = entry.value
            return value

    def clear(self) -> None:
        """Something was changed: what is shown next is read anew."""
        with self._lock:
            self._entries.clear()
