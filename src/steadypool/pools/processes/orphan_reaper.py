"""Programs that a dead worker has left, where this process inherits them."""

from __future__ import annotations

from steadypool.model.clock import monotonic, sleep
from steadypool.pools.core.core import Core
from steadypool.pools.processes.orphans import AGAIN_AFTER, inherits, reap
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.primitives.wakeup import PipeBell

LAST_LOOKS = 20
REAP_AFTER = 0.05
"""Seconds from the death of a worker until the programs that died with it are looked for."""


class OrphanReaper:
    """Reaps the programs of workers that have died: see `pools.processes.orphans`."""

    def __init__(self, core: Core, bell: PipeBell) -> None:
        self._core = core
        self._bell = bell
        self.groups: set[int] = set()
        """The process groups of workers that had any, where orphans of theirs are ours."""

    def inherit_from(self, worker: ProcessWorker) -> None:
        """The worker is dead: reap the programs that it has left, if they are ours now."""
        if inherits():
            self.groups.add(worker.pid)
            self._reap_in(REAP_AFTER)

    def _reap_in(self, seconds: float) -> None:
        with self._core.lock:
            self._core.timers.add(monotonic() + seconds, self._reap)
        self._bell.ring()

    def reap_all(self) -> None:
        """At the end: what was killed with its worker may take a moment to die."""
        for _ in range(LAST_LOOKS):
            if not inherits() or not reap(self.groups):
                return
            sleep(0.01)

    def _reap(self) -> None:
        if reap(self.groups):
            self._reap_in(AGAIN_AFTER)
