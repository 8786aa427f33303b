"""Which worker gets which job: the pump.

Jobs go to a worker one by one as they are submitted, as long as it holds few; what waits meanwhile goes together, in
one packet, once it holds few again. A packet costs two system calls and twice the GIL, more than all the rest of a
small job.

A submitter pumps on the main thread too, where Ctrl-C may come between any two steps. What the pump has taken out of
the queue is in ``_moving`` until it is over, and from the step that puts it into a hand ``_receiver`` is set. So
`Pump._broken_off` knows what may be lost: it has the receiver leave, since only that worker knows what was sent to it,
and what a worker never began goes to others when it ends. The supervisor puts back what is nowhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures._base import PENDING, RUNNING
from threading import Lock

from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolClosed
from steadypool.model.states import Outcome
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk, Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.buffers import Loan
from steadypool.pools.processes.ipc.wire import SEVERAL, WHOLE
from steadypool.pools.processes.job_starts import JobStarts
from steadypool.pools.processes.packets import next_serial, packet_of
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.preparation import Preparation
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.rules import prefetch

HEAD_MOST = 256
"""Bytes that stand before a job's function and arguments, if its options hold nothing but numbers."""
UTF8_MOST = 4
"""Bytes that a character of an id or a name may take."""
ALONE = prefetch.TOGETHER_BYTES + 1
"""What counts as the size of a job that travels alone."""
AFTERWARDS = 0.02
"""Seconds after which no thread is still at what it was doing when the pump was broken off."""
_WITHOUT_BLOCKING = (False,)


class Pump:
    """Hands the waiting jobs of one pool to its workers. One thread at a time does."""

    def __init__(
        self,
        fleet: Fleet,
        places: Places,
        starts: JobStarts,
        preparation: Preparation,
        new_worker: Callable[[], ProcessWorker | None],
        retire: Callable[[ProcessWorker, str], None],
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._starts = starts
        self._preparation = preparation
        self._new_worker = new_worker
        self._retire = retire
        self._lock = Lock()
        """The thread that pumps holds it."""
        self._moving: list[Entry] = []
        self._receiver: ProcessWorker | None = None

    def pump(self) -> None:
        """Hand waiting jobs to workers with room."""
        # `full` is set before the workers are looked at and cleared after they have changed, so that a thread that
        # finds the lock taken can rely on its holder to look again.
        while not self._fleet.full and len(self._core.queue):
            got: list[bool] = []
            try:
                # One step in C: Ctrl-C cannot come between having the lock and knowing it.
                got.extend(map(self._lock.acquire, _WITHOUT_BLOCKING))
                if True not in got:
                    return
                self._fleet.full = True
                worker = self._idle_worker()
                if worker is None:
                    self._hand_out()
                else:
                    self._hand_over_only(worker)
            except BaseException:
                self._broken_off()
                raise
            finally:
                if True in got:
                    self._lock.release()

    def _broken_off(self) -> None:
        """An exception ends the pump between two steps: no job is lost by it."""
        self._fleet.full = False
        self._fleet.plan(AFTERWARDS, self._bring_back, self._moving)
        receiver, self._receiver, self._moving = self._receiver, None, []
        if receiver is not None:
            # Before anything else is sent to it: results are expected in the order of the hand.
            self._retire(receiver, "interrupted")

    def _bring_back(self, moved: list[Entry]) -> None:
        """Put what is nowhere into the queue."""
        with self._core.lock:
            for entry in moved:
                unfolded = entry.jobs if isinstance(entry, Chunk) else None
                for one in [entry] if unfolded is None else unfolded:
                    if self._is_nowhere(one):
                        self._places.requeue(one)
        self._fleet.look_again()

    def _is_nowhere(self, entry: Entry) -> bool:
        """Whether it waits in no place and has no outcome. The lock is held."""
        if entry in self._moving or (entry._worker is not None and entry in entry._worker.hand):
            return False
        return not (entry.outcome or entry._entry or self._core.queue.has(entry))

    def pump_for(self, job: Job) -> None:
        """As `pump`, for a new job. Raises what prevents it, once the job is taken back."""
        try:
            self.pump()
        except Exception as error:
            self._core.admission.not_pumped(job, error)

    def enter_all(self, jobs: Sequence[Job]) -> int:
        """Take on jobs, looking for workers once; returns how many of the last were not accepted (the pool has
        closed)."""
        self._core.queue.items.extend(jobs)
        if jobs:
            self._core.workers.supervision.supervise()
            if not self._fleet.full:
                self.pump()
        if self._core.refusal is not None:
            for count, job in enumerate(jobs):
                try:
                    self._core.admission.check_in(job)
                except PoolClosed:
                    return len(jobs) - count
        return 0

    def _idle_worker(self) -> ProcessWorker | None:
        """Where the short way leads: one job waits, this worker has nothing to do, and nothing else is going on."""
        core, queue = self._core, self._core.queue
        if len(queue.items) != 1 or queue.heap or core.attention or core.emitter.sinks:
            return None
        if core.broken_by is not None or len(self._fleet.available) > core.max_workers:
            return None
        for worker in self._fleet.available:
            if worker.ready and not (worker.hand or worker.taken or worker.socket_full or worker.avoided_until):
                return worker
        return None

    def _hand_over_only(self, worker: ProcessWorker) -> None:
        """The short way: what the long one does, in its order, without what is needed for several jobs."""
        moving = self._moving
        if self._core.queue.take_into(moving):
            if self._begins_in(worker, moving[0]):
                self._starts.watch.see_to_unread()
                self._send(worker, moving, *packet_of(moving))
            else:
                self._hand_over(worker, moving[:])
            moving.clear()
            self._receiver = None
        self._fleet.full = False

    def _begins_in(self, worker: ProcessWorker, job: Entry) -> bool:
        """Put the job into the empty hand, where it runs; false if it must go the long way: its packet needs a buffer,
        or its start more than to be noted."""
        packed = job._packed
        if packed is None or packed.plain is None or packed.flags & SEVERAL or not job._options.plain:
            return False
        with self._core.lock:
            if worker.dead or worker.retiring or worker.hand or self._core.attention or job._told is not None:
                return False
            job.attempts += 1
            job._worker = worker
            job._serial = next_serial()
            job._began = monotonic()
            job._state = RUNNING
            self._receiver = worker
            worker.hand.append(job)
        return True

    def _hand_out(self) -> None:
        while len(self._core.queue):
            worker = self._pick()
            if worker is None or (worker.hand and self._core.queue.heap and self._core.queue.offers_first()):
                return  # what has passed its limits goes to an idle worker: it is to begin now
            # Not all to the first worker that has room, or the others would have nothing to do.
            share = len(self._core.queue) // max(1, len(self._fleet.available))
            together = self._fleet.takes_bundles and not self._core.emitter.context_carriers
            self._fill(worker, max(1, min(self._fleet.pace.depth - len(worker.hand), share)) if together else 1)
            # A worker is idle if it became so meanwhile, or was left out since it had not read what it had. It says
            # nothing more, having no job, and what was just handed over may lie behind a job without end.
            if worker.has_more() and self._has_idle():
                self._starts.watch.plan_to_share()
        self._fleet.full = False

    def _fill(self, worker: ProcessWorker, room: int) -> None:
        """Hand over what is next, up to *room* jobs if these can travel together."""
        moving, size = self._moving, 0
        queue = self._core.queue
        while len(moving) < room and not (moving and queue.heap and queue.offers_first()) and queue.take_into(moving):
            size += _size_in_packet(moving[-1])
            if size > prefetch.TOGETHER_BYTES:
                if len(moving) > 1:
                    self._places.requeue(moving[-1])  # by its age it stays the next
                    moving.pop()
                break
        if moving:
            self._hand_over(worker, moving[:])
        moving.clear()
        self._receiver = None

    def _pick(self) -> ProcessWorker | None:
        best: ProcessWorker | None = None
        avoided: ProcessWorker | None = None
        low = prefetch.refill(self._fleet.pace.depth)
        if len(self._fleet.available) > self._core.max_workers and self._busy() >= self._core.max_workers:
            return None  # after a resize, until the workers too many have left
        for worker in self._fleet.available:
            if worker.socket_full or worker.taken is not None:
                continue
            held = len(worker.hand)
            if worker.avoided_until and worker.ready and worker.is_avoided():
                if not held:
                    avoided = worker
                continue
            if not held and worker.ready:
                return worker
            if held < self._fleet.pace.depth and held <= low and (best is None or held < len(best.hand)):
                best = worker
        if best is not None and not best.hand:
            return best
        if self._fleet.may_grow:
            return self._new_worker()
        return best if best is not None and not self._is_slow(best) else avoided

    def _has_idle(self) -> bool:
        return any(not worker.hand and worker.taken is None for worker in self._fleet.available)

    def _busy(self) -> int:
        return sum(1 for worker in self._fleet.available if worker.hand or worker.taken is not None)

    def _is_slow(self, worker: ProcessWorker) -> bool:
        """Whether it has run its present job for longer than jobs should wait behind one."""
        return worker.has_run() > prefetch.WORTH

    def _hand_over(self, worker: ProcessWorker, entries: list[Entry]) -> None:
        """Send these in one packet, or what of them may go."""
        entry = entries[0]
        if entry._packed is None and self._may_go(entry) and not self._preparation.is_prepared(worker, entry):
            return
        if not (entries := self._put_into_hand(worker, entries)):
            return
        entry, last = entries[0], entries[-1]
        try:
            packet, loan = packet_of(entries, self._starts.carried(entry))
        except (OSError, ValueError) as error:
            self._could_not_send(worker, entry, error)
            return
        if last._serial + last._size - 1 > entry._serial:
            self._starts.watch.will_gather(worker, last._serial + last._size - 1)
        if worker.first() is entry:
            self._starts.see_to_first(worker)
        self._send(worker, entries, packet, loan)

    def _may_go(self, entry: Entry) -> bool:
        return not (self._core.attention or self._core.broken_by is not None or entry._told is not None)

    def _put_into_hand(self, worker: ProcessWorker, entries: list[Entry]) -> list[Entry]:
        """Note what is about to be sent together. What must not go is settled; all is back in the queue, and nothing
        to be sent, if the worker takes no more."""
        with self._core.lock:
            if isinstance(entries[0], Chunk):
                self._places.free_rooms(entries[0])
            if worker.dead or worker.retiring:
                for entry in entries:
                    self._places.requeue(entry)
                return []
            none_may = self._core.attention or self._core.broken_by is not None
            going = [] if none_may else [entry for entry in entries if entry._told is None]
            for entry, serial in zip(going, itertools.count(next_serial())):
                entry.attempts += 1
                entry._state = PENDING
                entry._worker = worker
                entry._serial = serial
            self._receiver = worker
            worker.hand.extend(going)
            stopped: list[Job] = []
            for entry in entries if len(going) < len(entries) else ():
                if entry not in going:
                    stopped += entry.unfold() if isinstance(entry, Chunk) else [entry]
        for job in stopped:
            self._turn_away(job)
        return going

    def _turn_away(self, job: Job) -> None:
        """Settle a job that must not go to a worker any more."""
        if self._core.attention:
            self._core.settlement.hand_back(job)
        elif self._core.broken_by is not None:
            self._core.settlement.settle(job, Outcome.FAILED, self._core.closed_error())
        else:
            error = job._pending_error or cancelled_error(job, "cancelled")
            self._core.settlement.settle(job, Outcome.CANCELLED, error)

    def _could_not_send(self, worker: ProcessWorker, entry: Entry, error: Exception) -> None:
        """No memory, say: the job fails. The items of a chunk go each for itself, and fail alone."""
        if isinstance(entry, Chunk):
            with self._core.lock:
                for job in self._places.unfold(entry):
                    self._places.put_back(worker, job)
        elif self._places.take_out(worker, entry):
            self._core.settlement.settle(entry, Outcome.FAILED, error)

    def _send(self, worker: ProcessWorker, entries: list[Entry], packet: bytes, loan: Loan | None) -> None:
        # Before it is tried: what makes room clears it, and that may be over by the time that this thread goes on.
        worker.socket_full = True
        sent: bool | None = None
        try:
            sent = worker.line.send(packet, () if loan is None else loan.fds())
        except OSError:
            sent = False  # it has just died: the thread that handles that has the job, or it goes back here
        finally:
            if loan is not None:
                for _, segment in loan.segments:
                    segment.holders.add(worker)
                worker.outgoing.was_sent(loan, sent)
                self._fleet.trim.used()
        if sent:
            worker.socket_full = False
            for entry in entries:
                if entry._told is not None:
                    break
            else:
                return
        with self._core.lock:
            # By its serial: a chunk may have been unfolded meanwhile, as any may that lies in a hand.
            for one in worker.sent_with(entries[0]._serial):
                if not sent and self._places.put_back(worker, one):
                    continue
                if one._told is not None:
                    worker.tell(one, one._told)  # the thread that told it did not know this sending's serial yet


def _size_in_packet(entry: Entry) -> int:
    """Bytes of the entry in a packet with others; `ALONE` if it goes on its own."""
    if entry._packed is None or entry._told is not None or entry._gated is not None:
        return ALONE
    options, packed = entry._options, entry._packed
    if packed.plain is None or packed.flags & SEVERAL:
        return ALONE
    size = HEAD_MOST + len(packed.plain)
    if not options.plain or options.id or options.name or options.meta or packed.flags & WHOLE:
        texts = (options.id, options.name or entry._task_name)
        size += sum(UTF8_MOST * len(text) for text in texts if text) + len(entry._packed_meta or b"")
    return size
