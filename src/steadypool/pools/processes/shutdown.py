"""How the workers of a closed pool leave, and what becomes of the programs that a dead one has left.

A worker that leaves may have something to write or to flush, or a thread of a job that is not done. It has the time
that the drain has left for that, without limit if the drain has none; then it is killed, and the report says so.
"""

from __future__ import annotations

import threading

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.listener import Listener
from steadypool.pools.processes.orphan_reaper import OrphanReaper
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_set import WorkerSet
from steadypool.rules.drain import earlier

LEAVE_SECONDS = 1.0
"""How long a worker may take to leave, however little time the drain has left; and to die, once it was killed."""


class Departure:
    """Sees the workers of one pool off."""

    def __init__(self, fleet: Fleet, workers: WorkerSet, listener: Listener, orphans: OrphanReaper) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._set = workers
        self._listener = listener
        self._orphans = orphans
        self._seeing_off = threading.Lock()
        self._leave_until: float | None = None
        """When workers that leave are killed; ``None``: they may take their time."""

    def shut_down_workers(self) -> None:
        """See every worker off, and give back every descriptor. The pool is closed."""
        if not self._seeing_off.acquire(blocking=False):
            self._listener.gone.wait(2 * LEAVE_SECONDS)  # another thread is at it
            return
        # A thread that hangs while it starts a worker does not hold up the end: it kills that worker itself.
        none_starts = self._set.spawning.acquire(timeout=LEAVE_SECONDS)
        try:
            if not self._listener.gone.is_set():
                self._see_all_off(none_starts)
        finally:
            if none_starts:
                self._set.spawning.release()
            self._seeing_off.release()

    def _see_all_off(self, none_starts: bool) -> None:
        if self._core.deadline is not None:
            self._leave_by(max(self._core.deadline + self._core.settings.cancel_grace, monotonic() + LEAVE_SECONDS))
        for worker in list(self._fleet.workers):
            self._see_off(worker)
            self._orphans.groups.add(worker.pid)
            worker.take_terminal_back()
            with self._core.lock:
                worker.dead = True  # who is about to take back what it has not begun must not look at its page
            if none_starts or worker.started or not worker.start_began:
                worker.close()
            if self._core.emitter.sinks:
                self._core.emitter.emit(events.WorkerEnded(self._core.name, monotonic(), worker.name, "closed"))
        with self._core.lock:
            self._fleet.workers.clear()
            self._fleet.recount()
        self._orphans.reap_all()
        self._listener.close()

    def _see_off(self, worker: ProcessWorker) -> None:
        who = f"worker {worker.name} (process {worker.pid})"
        if worker.left or worker.taken is not None:
            worker.kill()
        elif not self._has_left(worker):
            waited = monotonic() - worker.told_to_leave
            self._core.notes.append(
                f"{who} was killed, {waited:.1f} s after it was to end: what it had to write may be lost"
            )
            worker.kill()
        if not worker.is_dead(LEAVE_SECONDS):
            self._core.notes.append(f"{who} could not be ended, and goes on")

    def leave_now(self) -> None:
        """Workers that leave have no more time, from any thread."""
        self._leave_by(monotonic())
        self._fleet.bell.ring()

    def _leave_by(self, moment: float) -> None:
        self._leave_until = earlier(self._leave_until, moment)

    def _has_left(self, worker: ProcessWorker) -> bool:
        """Whether it ends on its own in the time that there is."""
        while True:
            until = self._leave_until
            if worker.is_dead(None if until is None else until - monotonic(), self._fleet.bell.fd):
                return True
            if until is not None and until <= monotonic():
                return False
            self._fleet.bell.heard()  # the time may be shorter now
