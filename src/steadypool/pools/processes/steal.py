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
  it, and runs them as before; or it had, and says so with a `WITHHELD` frame, and they are ours from then on.
* *Begun*: that stays where it is.
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures._base import PENDING, RUNNING
from weakref import WeakKeyDictionary

from steadypool.model.clock import monotonic, sleep
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk
from steadypool.pools.processes.ipc.buffers import Description
from steadypool.pools.processes.ipc.wire import IN_BUFFER, ITEMS_MOST, read_job, sending
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.threads.hands import HandWorkers
from steadypool.pools.threads.worker import JobRunner
from steadypool.primitives.wakeup import PipeBell

MOST_LOOKS = 100
"""How often a cancel looks for a job that other threads move on meanwhile."""
STEAL_AFTER = 0.002
"""Seconds that a worker may run one job before what lies behind it goes to an idle worker."""
LONG = 0.01
"""Seconds after which nothing is to lie behind a job, since younger jobs would overtake what does."""
VISIBLE_SECONDS = 0.001
UNREAD_SECONDS = 0.1
"""How long a job may lie unread in the socket of a worker while another worker is idle."""
AVOIDED_SECONDS = 1.0
"""How long such a worker gets no other job if there is a choice: then it may have been continued."""


class StealingWorkers(HandWorkers):
    """Takes jobs back from worker processes that have not begun them."""

    workers: set[ProcessWorker]

    def __init__(self, settings: Settings, max_workers: int) -> None:
        self.bell = PipeBell()
        super().__init__(settings, max_workers, self.bell)
        self.available_workers: tuple[ProcessWorker, ...] = ()
        """The workers that may be given jobs."""
        self.full = False
        """No worker has room: nobody need try before a result comes."""
        self.told_started: WeakKeyDictionary[Job, int] = WeakKeyDictionary()
        """Jobs that were first in a hand, and taken back, and the attempt that sinks may know to have started."""
        self._steal_planned = False
        self._unread_planned = False
        self._relieved = 0.0

    @abstractmethod
    def pump(self) -> None:
        """Hand waiting jobs to workers with room."""

    @abstractmethod
    def unfold(self, chunk: Chunk) -> list[Job]:
        """Make jobs of what has not come back of a chunk."""

    @abstractmethod
    def _became_first(self, job: Job | Chunk) -> None:
        """The job is the first in its worker's hand: it runs now, or will in a moment. May be said more than once."""

    def take_out(self, worker: ProcessWorker, job: Job | Chunk) -> bool:
        """Take what was not sent after all out of the hand; false if somebody else has it."""
        with self.core.lock:
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            job.attempts -= 1
            return True

    def requeue(self, job: Job | Chunk) -> None:
        """Back into the queue, by its age in front; it has not begun."""
        if job._state is RUNNING and not isinstance(job, Chunk):
            self.told_started[job] = job.attempts + 1
        job._state = PENDING
        job._attempt_ends = None
        self.core.queue.put_ranked(job, has_room=False)
        if self.core.broken_by is not None:
            self.bell.ring()  # no worker will take it: the supervisor fails it

    # -- what lies in a worker's socket

    def take_back(self, worker: ProcessWorker, most: int = 1 << 30) -> int:
        """Take packets out of the worker's socket that it has not read, and put their jobs into the queue."""
        count = 0
        while count < most and worker.duplicate.keeps_packets and self._take_one_back(worker):
            worker.socket_full = False
            count += 1
        if count:
            self._see_to_first(worker)
        return count

    def _take_one_back(self, worker: ProcessWorker) -> bool:
        # All under the lock: two threads that read from one line would overwrite each other's packet.
        with self.core.lock:
            try:
                received = worker.duplicate.receive(wait=False)
            except OSError:
                return False
            if received is None or not received[0]:
                return False
            packet, fd = received
            frame = read_job(packet)
            if frame.flags & IN_BUFFER:
                worker.outgoing.take_back(Description.read(frame.call).number, fd)
            for job in worker.sent_with(frame.serial):
                self._take_from(worker, job)
            return True

    def _see_to_first(self, worker: ProcessWorker) -> None:
        """The worker has gone on while something was taken: what is first in its hand now may not have been before."""
        with self.core.lock:
            first = worker.hand[0] if worker.hand and worker.taken is None else None
        if first is not None:
            self._became_first(first)

    def _take_from(self, worker: ProcessWorker, job: Job | Chunk) -> None:
        worker.hand.remove(job)
        job.attempts -= 1
        self.requeue(job)

    # -- what it has read and not begun

    def withhold(self, worker: ProcessWorker) -> None:
        """Have the worker not begin what came with the job that it runs; in a moment that is put into the queue."""
        first = self._begin_to_withhold(worker)
        if first is not None:
            with self.core.lock:
                self.core.timers.add(monotonic() + VISIBLE_SECONDS, self._take_withheld, worker, first)
            self.bell.ring()

    def _take_withheld(self, worker: ProcessWorker, first: int) -> None:
        self._finish_withholding(worker, first)
        self.full = False
        self.pump()

    def _begin_to_withhold(self, worker: ProcessWorker) -> int | None:
        """Withhold what came with the job that it runs, and say from which serial on; ``None`` if there is nothing."""
        with self.core.lock:
            if worker.dead:
                return None
            running = worker.page.running()
            behind = any(_last_serial(entry) > running for entry in worker.sent_with(running))
            if worker.is_loading() or not behind:
                return None
            worker.page.withhold(running + 1, running - running % ITEMS_MOST + ITEMS_MOST)
            return running + 1

    def _finish_withholding(self, worker: ProcessWorker, first: int) -> None:
        """Take what the worker has not begun, `VISIBLE_SECONDS` after it was withheld."""
        with self.core.lock:
            if worker.dead:
                return
            if worker.page.running() < first:
                self._take_unbegun(worker, first)
        self._see_to_first(worker)

    def was_withheld(self, worker: ProcessWorker, serial: int) -> None:
        """The worker has come to a job that it must not begin: it has left that and what travelled behind it."""
        with self.core.lock:
            self._take_unbegun(worker, serial)
        self._see_to_first(worker)

    def _take_unbegun(self, worker: ProcessWorker, first: int) -> None:
        """Put into the queue what has this serial, and what stands behind it in the same packet. The lock is held."""
        taken = worker.taken
        if taken is not None and taken._serial >= first and sending(taken._serial) == sending(first):
            worker.taken = worker.taken_name = None  # it was settled before it began
        for entry in worker.sent_with(first):
            if isinstance(entry, Chunk):
                self.unfold(entry)
        for job in worker.sent_with(first):
            if job._serial >= first:
                self._take_from(worker, job)

    # -- who wants it

    def steal_for_idle(self) -> None:
        """Give an idle worker what lies behind another's long job."""
        if not self.may_grow and not any(not worker.hand and worker.taken is None for worker in self.available_workers):
            return
        for worker in self.available_workers:
            if not worker.has_more():
                continue
            if worker.taken is None and worker.has_run() < STEAL_AFTER:
                self._plan_to_share()
            elif self.take_back(worker, most=1):
                self.full = False
                self.pump()
            elif not worker.is_loading() and (worker.taken is not None or worker.is_held_up(STEAL_AFTER)):
                self.withhold(worker)
            else:
                self._plan_to_share()

    def see_to_unread(self) -> None:
        """A job was handed over: see to it that it does not lie unread where a worker has stopped, or hangs as it
        starts."""
        if self._unread_planned or self.core.max_workers == 1:
            return
        self._unread_planned = True
        with self.core.lock:
            self.core.timers.add(monotonic() + UNREAD_SECONDS, self._look_for_unread)
        self.core.wake_before(monotonic() + UNREAD_SECONDS)

    def _look_for_unread(self) -> None:
        self._unread_planned = False
        for worker in self.available_workers:
            if not worker.has_unread():
                continue
            self.see_to_unread()
            if worker.has_unread_for(UNREAD_SECONDS) and self._can_replace(worker) and self.take_back(worker):
                worker.avoided_until = monotonic() + AVOIDED_SECONDS
                self.full = False
                self.pump()

    def _can_replace(self, worker: ProcessWorker) -> bool:
        """Whether what it does not begin could begin elsewhere. One that starts is not a reason for another."""
        return (worker.ready and self.may_grow) or any(
            other.ready and not other.hand and other.taken is None and not other.is_avoided()
            for other in self.available_workers
        )

    def requeue_overdue(self) -> None:
        """Put what lies behind long jobs into the queue, where it is older than what waits there. Now and then."""
        now = monotonic()
        if now < self._relieved + LONG:
            return
        self._relieved = now
        for worker in self.available_workers:
            if worker.has_more() and (worker.taken is not None or worker.has_run() >= LONG):
                self.take_back(worker)
                if worker.is_held_up(LONG):
                    self.withhold(worker)

    def _plan_to_share(self) -> None:
        if not self._steal_planned:
            self._steal_planned = True
            with self.core.lock:
                self.core.timers.add(monotonic() + STEAL_AFTER, self._share_again)
            self.bell.ring()

    def _share_again(self) -> None:
        self._steal_planned = False
        self.steal_for_idle()

    def reclaim(self, job: Job | Chunk) -> bool:
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
            mine = self.core.queue.remove(job)
            if mine:
                break
            # Another thread has moved it on, from its worker to the queue or the other way, or is about to send it,
            # or its worker has read it and is about to begin: look again.
            sleep(0)
        self.full = False
        self.pump()
        return mine

    def _reclaim_read(self, worker: ProcessWorker, job: Job | Chunk) -> bool:
        """Put a job that the worker has read, and those behind it, into the queue; false if it has begun."""
        with self.core.lock:
            if job not in worker.hand:
                return True
            first = self._begin_to_withhold(worker) if job._serial > worker.page.running() else None
        if first is None:
            return False
        try:
            sleep(VISIBLE_SECONDS)
        finally:
            self._finish_withholding(worker, first)
        return True

    def reclaim_waiting(self) -> None:
        """Put all jobs that were sent and not begun into the queue, before the drain hands it back."""
        workers = list(self.workers)
        for worker in workers:
            self.take_back(worker)
        withheld = [(worker, first) for worker in workers if (first := self._begin_to_withhold(worker)) is not None]
        if withheld:
            sleep(VISIBLE_SECONDS)
        for worker, first in withheld:
            self._finish_withholding(worker, first)


def _last_serial(entry: Job | Chunk) -> int:
    return entry._serial + (entry.size - 1 if isinstance(entry, Chunk) else 0)
