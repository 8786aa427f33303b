"""Sets the books of a pool right after a submit was broken off by an asynchronous exception, such as Ctrl-C.

It can end a submit between any two steps, on the main thread. The job may wait, and no worker be awake for it: one is
woken. Or a ticket, or a place of the queue, was taken for a job that did not come to be. That cannot be seen while jobs
come and go. Once the pool has been idle for a while, without a submit, what the books say too much is taken off them.
All that is the supervisor's to do, which no signal interrupts.
"""

from __future__ import annotations

from contextlib import suppress

from steadypool.model.clock import monotonic
from steadypool.model.errors import SteadypoolError
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.shared import Shared
from steadypool.pools.core.workers import Workers

IDLE_SECONDS = 0.1
"""For how long a pool is looked at."""


class Reconciler:
    """Compares the books of one pool with what is there."""

    def __init__(self, shared: Shared, counts: Counts, workers: Workers) -> None:
        self._shared = shared
        self._counts = counts
        self._workers = workers
        self._planned = False

    def submit_raised(self, error: BaseException) -> None:
        """A submit has raised *error*. Unless it refuses the job, a job may be missing."""
        shared = self._shared
        if isinstance(error, SteadypoolError):
            return
        with shared.lock:
            if not self._planned:
                self._planned = True
                shared.timers.add(monotonic(), self._look, None)
        self._workers.supervision.supervise()
        shared.bell.ring()

    def _look(self, before: tuple[int, int, int] | None) -> None:
        """Nothing has changed in an idle pool since the last look: what is there now is all there is."""
        shared, queue = self._shared, self._shared.queue
        if len(queue):
            with suppress(RuntimeError):  # no thread can be started now
                self._workers.wake_worker()
        with shared.lock:
            if shared.is_closed():
                return
            accepted, ended = self._counts.accepted(), sum(self._counts.outcomes().values())
            room = len(queue.room)
            waits = self._counts.retrying or len(queue) or queue.holds_back()
            now = None if waits or not self._workers.all_idle() else (accepted, ended, room)
            if now is None or now != before:
                shared.timers.add(monotonic() + IDLE_SECONDS, self._look, now)
                return
            self._counts.withdraw(accepted - ended)
            self._planned = False
        queue.give_rooms(queue.made() - room)
