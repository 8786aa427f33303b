"""Gives back the memory of buffers (`ipc.buffers`) once none has been used for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steadypool.model.clock import monotonic
from steadypool.pools.core.core import Core
from steadypool.pools.processes.ipc.memory_file import advise
from steadypool.pools.processes.worker import ProcessWorker

AFTER = 2.0
"""Seconds without a big payload."""


class Trim:
    """Looks now and then, as long as there is something that may become free; never in a pool that rests."""

    def __init__(self, core: Core, workers: Callable[[], Iterable[ProcessWorker]]) -> None:
        self._core = core
        self._workers = workers
        self._is_planned = False

    def used(self) -> None:
        """A buffer was used, or may have come back: look in a while."""
        if not self._is_planned:
            self._is_planned = True
            self._core.call_later(AFTER, self._look)

    def _look(self) -> None:
        self._is_planned = False
        before = monotonic() - AFTER
        workers, may_come_back, free = [*self._workers()], False, []
        for worker in workers:
            may_come_back |= worker.outgoing.trim(before)
            with self._core.lock:
                # With no job in its hand it lends nothing, and gets none as long as the lock is held.
                if worker.hand or worker.taken is not None:
                    may_come_back |= worker.has_buffers()
                elif worker.incoming.was_used(before):
                    may_come_back = True
                else:
                    free += worker.incoming.forget()
                    may_come_back |= not worker.incoming.is_empty
        for memory in free:
            advise(memory, "MADV_REMOVE")  # without the lock: it takes milliseconds
        if may_come_back:
            self.used()
