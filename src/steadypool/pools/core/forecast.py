"""Warns when a drain on a signal would not end in time.

It never wakes anybody. It looks where something happens anyway: when the block of `drain_on_signal` is entered, when
a run has been measured, when the queue is full, and when the supervisor has something to do. Without a sink there
is nobody to warn, and nothing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.lazy_events import events
from steadypool.model.states import PoolState
from steadypool.pools.core.books import read_stats
from steadypool.rules.forecast import warns

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core

LOOK_AGAIN = 0.1
"""Seconds between two looks, whatever happens meanwhile."""
REST = 50
"""So many times as long as a look took: one at a queue of a million jobs takes some tens of milliseconds."""


class Forecast:
    """Compares a pool's `drain_estimate` with the time that a signal would leave it. From any thread."""

    def __init__(self, core: Core) -> None:
        self._core = core
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
        core, limit = self._core, self.limit
        if limit is None or not core.emitter.sinks or core.state is not PoolState.OPEN:
            return
        now = monotonic()
        with core.lock:
            if now < self._next_look:
                return
            self._next_look = now + LOOK_AGAIN  # also for a finalizer that comes back here meanwhile
            estimate = read_stats(core).drain_estimate
            self._next_look = now + max(LOOK_AGAIN, REST * (monotonic() - now))
            warn, self._warned = warns(self._warned, estimate, limit)
        if warn and estimate is not None:
            core.emitter.emit(events.DrainMayOverrun(core.name, now, estimate, limit))
