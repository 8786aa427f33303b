"""How the workers of a closed pool leave, and what becomes of the programs that a dead one has left.

A worker that leaves may have something to write or to flush, or a thread of a job that is not done. It has the time
that the drain has left for that, without limit if the drain has none; then it is killed, and the report says so.
"""

from __future__ import annotations

import threading
from typing import Any

from steadypool.model.clock import monotonic, sleep
from steadypool.model.lazy_module import events
from steadypool.pools.core.settings import Settings
from steadypool.pools.processes.orphans import AGAIN_AFTER, inherits, reap
from steadypool.pools.processes.results import ResultsWorkers
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.rules.drain import earlier

LEAVE_SECONDS = 1.0
"""How long a worker may take to leave, however little time the drain has left; and to die, once it was killed."""
LAST_LOOKS = 20
REAP_AFTER = 0.05
"""Seconds from the death of a worker until the programs that died with it are looked for."""


class FarewellWorkers(ResultsWorkers):
    """Sees workers off."""

    bell: Any
    _selector: Any

    def __init__(self, settings: Settings, max_workers: int, packets: bool) -> None:
        super().__init__(settings, max_workers, packets)
        self._spawning = threading.RLock()
        self._gone = threading.Event()
        self._seeing_off = threading.Lock()
        self._leave_until: float | None = None
        """When workers that leave are killed; ``None``: they may take their time."""
        self._groups: set[int] = set()
        """The process groups of workers that had any, where orphans of theirs are ours."""

    def shut_down_workers(self) -> None:
        """See every worker off, and give back every descriptor. The pool is closed."""
        if not self._seeing_off.acquire(blocking=False):
            self._gone.wait(2 * LEAVE_SECONDS)  # another thread is at it
            return
        # A thread that hangs while it starts a worker does not hold up the end: it kills that worker itself.
        none_starts = self._spawning.acquire(timeout=LEAVE_SECONDS)
        try:
            if not self._gone.is_set():
                self._see_all_off(none_starts)
        finally:
            if none_starts:
                self._spawning.release()
            self._seeing_off.release()

    def _see_all_off(self, none_starts: bool) -> None:
        if self.core.deadline is not None:
            self._leave_by(max(self.core.deadline + self.core.settings.cancel_grace, monotonic() + LEAVE_SECONDS))
        for worker in list(self.workers):
            self._see_off(worker)
            self._groups.add(worker.pid)
            worker.take_terminal_back()
            with self.core.lock:
                worker.dead = True  # who is about to take back what it has not begun must not look at its page
            if none_starts or worker.started or not worker.start_began:
                worker.close()
            if self.core.emitter.sinks:
                self.core.emitter.emit(events.WorkerEnded(self.core.name, monotonic(), worker.name, "closed"))
        with self.core.lock:
            self.workers.clear()
            self.recount()
        self._reap_all()
        self._selector.close()
        self.bell.close()
        self._gone.set()

    def _see_off(self, worker: ProcessWorker) -> None:
        who = f"worker {worker.name} (process {worker.pid})"
        if worker.left or worker.taken is not None:
            worker.kill()
        elif not self._has_left(worker):
            waited = monotonic() - worker.told_to_leave
            self.core.notes.append(
                f"{who} was killed, {waited:.1f} s after it was to end: what it had to write may be lost"
            )
            worker.kill()
        if not worker.is_dead(LEAVE_SECONDS):
            self.core.notes.append(f"{who} could not be ended, and goes on")

    def leave_now(self) -> None:
        """Workers that leave have no more time, from any thread."""
        self._leave_by(monotonic())
        self.bell.ring()

    def _leave_by(self, moment: float) -> None:
        self._leave_until = earlier(self._leave_until, moment)

    def _has_left(self, worker: ProcessWorker) -> bool:
        """Whether it ends by itself in the time that there is."""
        while True:
            until = self._leave_until
            if worker.is_dead(None if until is None else until - monotonic(), self.bell.fd):
                return True
            if until is not None and until <= monotonic():
                return False
            self.bell.heard()  # the time may be shorter now

    # -- programs of dead workers, where this process inherits them

    def inherit_from(self, worker: ProcessWorker) -> None:
        """The worker is dead: reap the programs that it has left, if they are ours now."""
        if inherits():
            self._groups.add(worker.pid)
            self._reap_in(REAP_AFTER)

    def _reap_in(self, seconds: float) -> None:
        with self.core.lock:
            self.core.timers.add(monotonic() + seconds, self._reap)
        self.bell.ring()

    def _reap_all(self) -> None:
        """At the end: what was killed with its worker may take a moment to die."""
        for _ in range(LAST_LOOKS):
            if not inherits() or not reap(self._groups):
                return
            sleep(0.01)

    def _reap(self) -> None:
        if reap(self._groups):
            self._reap_in(AGAIN_AFTER)
