"""What a worker's named queues hold, for probes and metrics: looked up when asked for, and never waited for long.

A look is made on a thread of its own, which lives as long as the look. Who asks within `FRESH` seconds gets the same
answer again; who asks while the store does not answer gets none, after `TIMEOUT` seconds at most, and the look goes
on without him.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from steadypool.durable.engine.errors import EngineError, SchemaMismatch
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.model.clock import monotonic
from steadypool.model.queue_depth import LimitCount, QueueDepth

FRESH = 5.0
"""Seconds for which an answer is given again."""
STALE = 30.0
"""Seconds after which it is not given any more, though there is no newer one."""
TIMEOUT = 1.0
"""Seconds that a caller waits for a look at most."""


class Depths:
    """Of these named queues, in the store at *url*. Any thread may ask."""

    def __init__(self, url: str, queues: Sequence[str]) -> None:
        self._url = url
        self._queues = tuple(dict.fromkeys(queues))
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._looking: threading.Event | None = None
        self._found: tuple[QueueDepth, ...] = ()
        self._limits: tuple[LimitCount, ...] = ()
        self._found_at = float("-inf")
        self._failed = False

    def read(self) -> tuple[QueueDepth, ...]:
        """The queues, in the order in which they were given."""
        done = self._look()
        if done is not None:
            done.wait(TIMEOUT)
        with self._lock:
            if self._failed or monotonic() - self._found_at > STALE:
                return tuple(QueueDepth(name, answers=False) for name in self._queues)
            return self._found

    def read_limits(self) -> tuple[LimitCount, ...]:
        """The limits, by name; none, if the store does not answer."""
        self.read()
        with self._lock:
            is_known = not self._failed and monotonic() - self._found_at <= STALE
            return self._limits if is_known else ()

    def _look(self) -> threading.Event | None:
        """Have a look made, or wait for the one that is under way; ``None``: what was found is fresh."""
        with self._lock:
            if self._looking is None:
                if monotonic() - self._found_at < FRESH and not self._failed:
                    return None
                self._looking = threading.Event()
                threading.Thread(target=self._count, name="steadypool-depths", daemon=True).start()
            return self._looking

    def _count(self) -> None:
        found: tuple[QueueDepth, ...] | None = None
        limits: tuple[LimitCount, ...] = ()
        try:
            if self._engine is None:
                self._engine = open_engine(self._url)
                self._engine.timeout = 2 * TIMEOUT
            limits = tuple(self._engine.limits.counts())
            found = tuple(self._engine.depths(self._queues))
        except (EngineError, SchemaMismatch):
            pass  # that is what it says: nothing was found
        finally:
            with self._lock:
                done, self._looking = self._looking, None
                self._failed = found is None
                if found is not None:
                    self._found, self._limits, self._found_at = found, limits, monotonic()
            assert done is not None
            done.set()

    def close(self) -> None:
        """Close the connection, unless a look is under way."""
        with self._lock:
            engine = None if self._looking is not None else self._engine
            self._engine = None if self._looking is None else self._engine
        if engine is not None:
            engine.close()
