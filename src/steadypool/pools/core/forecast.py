"""Warns when a drain on a signal would not end in time.

It never wakes a thread. It looks where something happens anyway: when the block of `drain_on_signal` is entered, when
a run has been measured, when the queue is full, and when the supervisor has something to do. Without a sink no
warning would be seen, and there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.states import PoolState
from steadypool.pools.core.emitter import Emitter
from steadypool.pools.core.shared import Shared
from steadypool.rules.forecast import warns

LOOK_AGAIN = 0.1
"""Seconds between two looks, whatever happens meanwhile."""
REST = 50
"""So many times as long as a look took: one at a queue of a million jobs takes some tens of milliseconds."""


class Forecast:
    """Compares a pool's `drain_estimate` with the time that a signal would leave it. From any thread."""

    def __init__(self, shared: Shared, emitter: Emitter, estimate: Callable[[], float | None]) -> None:
        self._shared = shared
        self._emitter = emitter
        self._estimate = estimate
        self.limit: float | None = None
        """Seconds that a drain may take; ``None`` while no signal would begin one."""
        self._warned = False
        self._next_look = 0.0

    def set_limit(self, seconds: float | None) -> float | None:
        """A signal would give a drain so long from now on; returns what held before."""
        before, self.limit = self.limit, seconds
        self._warned, self._next_look = False, 0.0
        self.look()
        return before

    def look(self) -> None:
        """Warn if there is reason to."""
        shared, limit = self._shared, self.limit
        if limit is None or not self._emitter.sinks or shared.state is not PoolState.OPEN:
            return
        now = monotonic()
        with shared.lock:
            if now < self._next_look:
                return
            self._next_look = now + LOOK_AGAIN  # also for a finalizer that comes back here meanwhile
            estimate = self._estimate()
            self._next_look = now + max(LOOK_AGAIN, REST * (monotonic() - now))
            warn, self._warned = warns(self._warned, estimate, limit)
        if warn and estimate is not None:
            self._emitter.emit(events.DrainMayOverrun(shared.name, now, estimate, limit))
