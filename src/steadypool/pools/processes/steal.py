"""Taking back what a worker has not begun: for one that is idle, for the sake of age, for a cancel, for the drain.

Theory of operation
-------------------
What was sent to a worker is in one of three places:

* *In its socket.* Packets are taken back from there one at a time, through a duplicate of the worker's own end. The
  kernel gives a packet to one reader, the worker or us.
* *Read, and not begun*: what came in one packet with the job that runs now, and stands behind it. The worker writes
  into its page which serial it begins, and then reads there which ones are withheld. We write into the page which ones
  are, and `VISIBLE_SECONDS` later read which one has begun. Each writes first and reads afterwards, so that at least
  one sees what the other wrote; the pause is a thousand times what a processor may take to show a write to another.
  If by then none of them has begun, the worker will see it: they are ours. If one has, either the worker had not seen
  it, and runs them as before; or it had, and says so with a `NOT_BEGUN` frame, and they are ours from then on.
* *Begun*: that stays where it is.
"""

from __future__ import annotations

import os

from steadypool.model.clock import monotonic, sleep
from steadypool.pools.processes.chunk import Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.buffers import Description
from steadypool.pools.processes.ipc.wire import (
    IN_BUFFER,
    ITEMS_MOST,
    read_packet,
    sending,
)
from steadypool.pools.processes.job_starts import JobStarts
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.threads.worker import JobRunner

MOST_LOOKS = 100
"""How often a cancel looks for a job that other threads move on meanwhile."""
STEAL_AFTER = 0.002
"""Seconds that a worker may run one job before what lies behind it goes to an idle worker."""
LONG = 0.01
"""Seconds after which nothing is to lie behind a job, since younger jobs would overtake what does."""
VISIBLE_SECONDS = 0.001


class Stealer:
    """Takes jobs back from worker processes that have not begun them."""

    def __init__(self, fleet: Fleet, places: Places, starts: JobStarts) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._starts = starts
        self._steal_planned = False
        self._relieved = 0.0

    # -- what lies in a worker's socket

    def take_back(self, worker: ProcessWorker, most: int = 1 << 30) -> int:
        """Take packets out of the worker's socket that it has not read, and put their jobs into the queue."""
        count = 0
        while count < most and worker.duplicate.keeps_packets and self._take_one_back(worker):
            worker.socket_full = False
            count += 1
        if count:
            self._starts.see_to_first(worker)
        return count

    def _take_one_back(self, worker: ProcessWorker) -> bool:
        # All under the lock: two threads that read from one line would overwrite each other's packet.
        with self._core.lock:
            try:
                received = worker.duplicate.receive(wait=False)
            except OSError:
                return False
            if received is None or not received[0]:
                return False
            packet, fds = received
            frame = read_packet(packet)[0]
            if frame.flags & IN_BUFFER:
                lent = Description.read(frame.call)
                worker.outgoing.take_back(lent.number, lent.is_new)
            for fd in fds:
                os.close(fd)
            for job in worker.sent_with(frame.serial):
                self._places.put_back(worker, job)
            return True

    # -- what it has read and not begun

    def withhold(self, worker: ProcessWorker) -> None:
        """Have the worker not begin what came with the job that it runs; in a moment that is put into the queue."""
        first = self._begin_to_withhold(worker)
        if first is not None:
            self._fleet.plan(VISIBLE_SECONDS, self._take_withheld, worker, first)

    def _take_withheld(self, worker: ProcessWorker, first: int) -> None:
        self._finish_withholding(worker, first)
        self._fleet.look_again()

    def _begin_to_withhold(self, worker: ProcessWorker) -> int | None:
        """Withhold what came with the job that it runs, and say from which serial on; ``None`` if there is nothing."""
        with self._core.lock:
            if worker.dead:
                return None
            running = worker.page.running()
            behind = any(entry._serial + entry._size - 1 > running for entry in worker.sent_with(running))
            if worker.is_loading() or not behind:
                return None
            worker.page.withhold(running + 1, running - running % ITEMS_MOST + ITEMS_MOST)
            return running + 1

    def _finish_withholding(self, worker: ProcessWorker, first: int) -> None:
        """Take what the worker has not begun, `VISIBLE_SECONDS` after it was withheld."""
        with self._core.lock:
            if worker.dead:
                return
            if worker.page.running() < first:
                self._take_unbegun(worker, first)
        self._starts.see_to_first(worker)

    def was_not_begun(self, worker: ProcessWorker, serial: int) -> None:
        """The worker has left this call, and what travelled behind it: it must not begin it, or cannot read it."""
        with self._core.lock:
            self._take_unbegun(worker, serial)
        self._starts.see_to_first(worker)

    def _take_unbegun(self, worker: ProcessWorker, first: int) -> None:
        """Put into the queue what has this serial, and what stands behind it in the same packet. The lock is held."""
        taken = worker.taken
        if taken is not None and taken._serial >= first and sending(taken._serial) == sending(first):
            self._fleet.came_back(worker)  # it was settled before it began
        for entry in worker.sent_with(first):
            self._places.unfold(entry)
        for job in worker.sent_with(first):
            if job._serial >= first:
                self._places.put_back(worker, job)

    # -- who wants it

    def steal_for_idle(self) -> None:
        """Give an idle worker what lies behind another's long job."""
        loaded = [worker for worker in self._fleet.available if worker.hand and worker.has_more()]
        if not loaded or not (
            self._fleet.may_grow or any(not worker.hand and worker.taken is None for worker in self._fleet.available)
        ):
            return
        for worker in loaded:
            if worker.taken is None and worker.has_run() < STEAL_AFTER:
                self.plan_to_share()
            elif self.take_back(worker, most=1):
                self._fleet.look_again()
            elif not worker.is_loading() and (worker.taken is not None or worker.is_held_up(STEAL_AFTER)):
                self.withhold(worker)
            else:
                self.plan_to_share()

    def requeue_overdue(self) -> None:
        """Put what lies behind long jobs into the queue, where it is older than what waits there. Now and then."""
        now = monotonic()
        if now < self._relieved + LONG:
            return
        self._relieved = now
        for worker in self._fleet.available:
            if worker.has_more() and (worker.taken is not None or worker.has_run() >= LONG):
                self.take_back(worker)
                if worker.is_held_up(LONG):
                    self.withhold(worker)

    def plan_to_share(self) -> None:
        """Look in a moment whether something lies behind a long job while a worker is idle."""
        if not self._steal_planned:
            self._steal_planned = True
            self._fleet.plan(STEAL_AFTER, self._share_again)

    def _share_again(self) -> None:
        self._steal_planned = False
        self.steal_for_idle()

    def reclaim(self, job: Entry) -> bool:
        """Take a job back that was sent to a worker and not begun; false if it was, or is not there."""
        mine = False
        for _ in range(MOST_LOOKS):
            worker = job._worker
            if isinstance(worker, JobRunner) or job.outcome is not None:
                break
            if worker is not None and job in worker.hand:
                if not worker.has_read(job):
                    self.take_back(worker)
                elif not self._reclaim_read(worker, job):
                    break
            mine = self._core.queue.remove(job)
            if mine:
                break
            # Another thread has moved it on, from its worker to the queue or the other way, or is about to send it,
            # or its worker has read it and is about to begin: look again.
            sleep(0)
        self._fleet.look_again()
        return mine

    def _reclaim_read(self, worker: ProcessWorker, job: Entry) -> bool:
        """Put a job that the worker has read, and those behind it, into the queue; false if it has begun."""
        with self._core.lock:
            if job not in worker.hand:
                return True
            first = self._begin_to_withhold(worker) if job._serial > worker.page.running() else None
        return first is not None and self._finish_soon([(worker, first)])

    def reclaim_waiting(self) -> None:
        """Put all jobs that were sent and not begun into the queue, before the drain hands it back."""
        workers = list(self._fleet.workers)
        for worker in workers:
            self.take_back(worker)
        withheld = [(worker, first) for worker in workers if (first := self._begin_to_withhold(worker)) is not None]
        if withheld:
            self._finish_soon(withheld)

    def _finish_soon(self, withheld: list[tuple[ProcessWorker, int]]) -> bool:
        """Wait for `VISIBLE_SECONDS`, and take what was withheld."""
        try:
            sleep(VISIBLE_SECONDS)
        finally:
            for worker, first in withheld:
                self._finish_withholding(worker, first)
        return True
