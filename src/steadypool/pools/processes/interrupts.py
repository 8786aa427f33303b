"""Repairs what an asynchronous exception has left behind: Ctrl-C, or what a signal handler raises.

Theory of operation
-------------------
Such an exception can end a submit between any two steps, on the main thread alone. Most steps are made so that nothing
can be lost: what takes a job out of one place and notes it in another is one step in C. The rest is put right here:

* *A job was put into the queue, and no pump runs for it.* The pump is started.
* *The pump had jobs between two places.* They are in ``moving`` until they have arrived, and nothing else is sent
  before they have been seen to: results are expected in the order of the hand. What is in its worker's hand has
  not been sent before the worker stands in ``moving`` too; so it goes back into the queue. From then on only the worker
  knows. What lies in its socket is taken back. If that does not bring it up, and the page does not say that it was
  read, the worker is retired: it runs what it has, leaves, and what it never began goes to others, as it does for any
  worker that ends. If the job is nowhere, some other thread may be about to settle it: it is looked at again
  `AFTERWARDS`.
  All that is the supervisor's to do: any other thread that wants to pump meanwhile leaves it to that.
* *A worker was made, and not started.* It is started.
* *A ticket or a place of the queue was taken for a job that did not come to be.* See `pools.threads.reconcile`.

No signal interrupts the supervisor.
"""

from __future__ import annotations

from threading import Lock, get_ident
from typing import Any

from steadypool.model.clock import monotonic, sleep
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_set import WorkerSet
from steadypool.pools.threads.reconcile import Reconciler

AFTERWARDS = 0.02
"""Seconds after which no thread is still at what it was doing when another was interrupted."""
READ_SECONDS = 0.001
"""How long a worker that has nothing else to do may take from reading a job to saying so."""


class InterruptRepair:
    """What is to be put right in one pool."""

    def __init__(self, fleet: Fleet, places: Places, stealer: Stealer, workers: WorkerSet) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._stealer = stealer
        self._set = workers
        self.lock = Lock()
        """The thread that pumps holds it."""
        self.moving: list[Any] = []
        """What the pump has between two places, and then the worker. Only the thread that pumps touches it."""
        self._balance = Reconciler(fleet.core)

    def was_interrupted(self) -> None:
        """An asynchronous exception has ended a step half-way."""
        with self._core.lock:
            self._core.timers.add(monotonic(), self._go_on)
        self._balance.plan()

    def _go_on(self) -> None:
        """Do what the interrupted thread would have done."""
        self._set.see_to_new_workers()
        if self.moving:
            if not self.lock.acquire(blocking=False):
                with self._core.lock:  # the thread that pumps has begun with it, or is still moving something
                    self._core.timers.add(monotonic() + AFTERWARDS, self._go_on)
                return
            try:
                self._see_to_moving()
            finally:
                self.lock.release()
        self._fleet.look_again()

    def see_to_moving(self) -> bool:
        """A thread that has begun to pump finds what the last one has left. False: the supervisor will see to it."""
        if get_ident() not in self._core.supervisors:
            self.was_interrupted()
            return False
        self._see_to_moving()
        return True

    def _see_to_moving(self) -> None:
        if self.moving:
            if isinstance(self.moving[-1], ProcessWorker):
                self._ask_worker(self.moving[-1], self.moving[0]._serial)
            else:
                for entry in self.moving:
                    self._put_back(entry)
                self._core.bell.ring()
        self.moving.clear()

    def _put_back(self, entry: Job | Chunk) -> None:
        """An entry that was not sent."""
        with self._core.lock:
            holder = entry._worker
            unsent = [] if holder is None else [one for one in holder.hand if one is entry]
            if isinstance(entry, Chunk) and entry.jobs is not None and holder is not None:
                unsent = holder.sent_with(entry._serial)  # it was unfolded there
            for one in unsent:
                if self._places.take_out(holder, one):
                    self._places.requeue(one)
            if not unsent:
                self._core.timers.add(monotonic() + AFTERWARDS, self._find_place, entry)

    def _find_place(self, entry: Job | Chunk) -> None:
        """Put an entry that is nowhere into the queue."""
        with self._core.lock:
            if self._is_nowhere(entry):
                self._places.requeue(entry)
        self._fleet.look_again()

    def _is_nowhere(self, entry: Job | Chunk) -> bool:
        """Whether it waits in no place and has no outcome. The lock is held."""
        if entry in self.moving:
            return False
        if entry._worker is not None and entry in entry._worker.hand:
            return False
        if isinstance(entry, Chunk):
            return entry.jobs is None and entry.done < entry.size and not self._core.queue.has(entry)
        return entry.outcome is None and entry._entry is None and not self._core.queue.has(entry)

    def _ask_worker(self, worker: ProcessWorker, serial: int) -> None:
        """What has this serial, or travels with it, may have been sent or not."""
        if self._may_be_unsent(worker, serial):
            self._stealer.take_back(worker)
        until = monotonic() + READ_SECONDS
        while self._may_be_unsent(worker, serial) and monotonic() < until:
            sleep(0)
        if self._may_be_unsent(worker, serial):
            self._set.retire(worker, "interrupted")

    def _may_be_unsent(self, worker: ProcessWorker, serial: int) -> bool:
        with self._core.lock:
            sent = worker.sent_with(serial)
            return bool(sent) and not worker.has_read(sent[0])
