"""Looks after what was handed over: whether it lies unread, and whether outcomes of it lie in a log."""

from __future__ import annotations

from collections.abc import Callable

from steadypool.model.clock import monotonic
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.worker import ProcessWorker

UNREAD_SECONDS = 0.1
"""How long a job may lie unread in the socket of a worker while another worker is idle."""
AVOIDED_SECONDS = 1.0
"""How long such a worker gets no other job if there is a choice: then it may have been continued."""
RESULTS_WITHIN = 0.002
"""Seconds that outcomes of calls that travelled together may lie in their worker's log."""


class HandoverWatch:
    """Plans looks at workers as long as they have something to do, and no longer."""

    def __init__(
        self,
        fleet: Fleet,
        take_back: Callable[[ProcessWorker], int],
        steal_for_idle: Callable[[], None],
        plan_to_share: Callable[[], None],
        take_gathered: Callable[[ProcessWorker], None],
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._take_back = take_back
        self._steal_for_idle = steal_for_idle
        self.plan_to_share = plan_to_share
        """Have the idle looked after in a moment: something is about to lie behind another job."""
        self._take_gathered = take_gathered
        self._unread_planned = False
        self._look_planned = False

    def see_to_unread(self) -> None:
        """A job was handed over: see to it that it does not lie unread where a worker has stopped, or hangs as it
        starts."""
        if self._unread_planned or self._core.max_workers == 1:
            return
        self._unread_planned = True
        self._fleet.plan(UNREAD_SECONDS, self._look_for_unread)

    def _look_for_unread(self) -> None:
        self._unread_planned = False
        for worker in self._fleet.available:
            if not worker.has_unread():
                continue
            self.see_to_unread()
            if worker.has_unread_for(UNREAD_SECONDS) and self._can_replace(worker) and self._take_back(worker):
                worker.avoided_until = monotonic() + AVOIDED_SECONDS
                self._fleet.look_again()

    def _can_replace(self, worker: ProcessWorker) -> bool:
        """Whether what it does not begin could begin elsewhere. One that starts is not a reason for another."""
        return (worker.ready and self._fleet.may_grow) or any(
            other.ready and not other.hand and other.taken is None and not other.is_avoided()
            for other in self._fleet.available
        )

    def will_gather(self, worker: ProcessWorker, last: int) -> None:
        """Outcomes up to that serial may gather in their worker: look for them now and then."""
        worker.last_together = last
        if not self._look_planned:
            self._look_planned = True
            self._fleet.plan(RESULTS_WITHIN, self._look_for_outcomes)

    def _look_for_outcomes(self) -> None:
        """Take what has gathered in workers where it takes long."""
        now = monotonic()
        with self._core.lock:
            # Unfolded or not: its worker does not know.
            busy = [
                worker
                for worker in self._fleet.workers
                if worker.hand and worker.hand[0]._serial <= worker.last_together
            ]
            self._look_planned = bool(busy)
            if busy:
                self._core.timers.add(now + RESULTS_WITHIN, self._look_for_outcomes)
        for worker in busy:
            log = worker.page.log_of()
            if log == worker.log_seen:
                self._take_gathered(worker)  # or else what was there at the last look has left
            worker.log_seen = log
        if busy and not self._core.queue:
            self._steal_for_idle()  # no result need ever come of a chunk whose first item is long
