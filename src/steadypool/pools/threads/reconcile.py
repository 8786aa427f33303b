"""Sets the books of a pool right after a submit was broken off by an asynchronous exception, such as Ctrl-C.

A ticket, or a place of the queue, may have been taken then for a job that did not come to be. That cannot be seen
while jobs come and go. Once the pool has been idle for a while, without a submit, what the books say too
much is taken off them. All that is the supervisor's to do, which no signal interrupts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.pools.core.core import PATIENCE

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core


class Reconciler:
    """The balance of one pool."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._planned = False

    def plan(self) -> None:
        """A job may be missing: look as soon as that can be known."""
        core = self._core
        with core.lock:
            if not self._planned:
                self._planned = True
                core.timers.add(monotonic() + PATIENCE, self._look, None)
        core.workers.supervision.supervise()
        core.bell.ring()

    def _look(self, before: tuple[int, int, int] | None) -> None:
        """Nothing has changed in an idle pool since the last look: what is there now is all there is."""
        core = self._core
        with core.lock:
            if core.is_closed():
                return
            accepted, ended, room = core.counts.accepted(), sum(core.counts.outcomes().values()), len(core.queue.room)
            waits = core.counts.retrying or len(core.queue) or core.queue.holds_back()
            is_idle = not waits and core.workers.all_idle()
            now = (accepted, ended, room) if is_idle else None
            if now is None or now != before:
                core.timers.add(monotonic() + PATIENCE, self._look, now)
                return
            core.counts.withdraw(accepted - ended)
            self._planned = False
        core.queue.give_rooms(core.queue.made() - room)
