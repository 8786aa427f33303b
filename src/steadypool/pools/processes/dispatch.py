"""Which worker gets which job: the pump.

Jobs go to a worker one by one as they are submitted, as long as it holds few; what waits meanwhile goes together, in
one packet, once it holds few again. A packet costs two system calls and twice the GIL, more than all the rest of a
small job.
"""

from __future__ import annotations

import itertools
import pickle
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures._base import PENDING, RUNNING
from contextvars import Context
from functools import partial
from itertools import islice
from threading import get_ident
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolClosed
from steadypool.model.lazy_module import events
from steadypool.model.options import Task, TaskOptions
from steadypool.model.sink_protocols import ContextCarrier
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.functions import check_function
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk, Landed, PackedChunk
from steadypool.pools.processes.interrupts import InterruptRepair
from steadypool.pools.processes.ipc.buffers import Loan
from steadypool.pools.processes.ipc.pickles import INLINE_MOST, Functions, dump
from steadypool.pools.processes.ipc.wire import LOADING, WHOLE
from steadypool.pools.processes.loader import Load
from steadypool.pools.processes.packets import (
    bundle_packet,
    chunk_packet,
    job_packet,
    next_serial,
    pack_call,
    pack_chunk,
    pack_meta,
    workers_import_main,
)
from steadypool.pools.processes.run_seconds import RunSeconds
from steadypool.pools.processes.steal import StealingWorkers
from steadypool.pools.processes.trim import Trim
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.primitives.job_context import running_loop
from steadypool.rules import prefetch

RESULTS_WITHIN = 0.002
"""Seconds that outcomes of calls that travelled together may lie in their worker's log."""
HEAD_MOST = 256
"""Bytes that stand before a job's function and arguments, if its options hold nothing but numbers."""
ALONE = prefetch.TOGETHER_BYTES + 1
"""What counts as the size of a job that travels alone."""
_WITHOUT_BLOCKING = (False,)


class DispatchWorkers(StealingWorkers):
    """Hands jobs to worker processes."""

    def __init__(self, settings: Settings, max_workers: int, packets: bool) -> None:
        super().__init__(settings, max_workers)
        self.functions = Functions(workers_import_main())
        self.packets = packets
        self.takes_bundles = packets
        """Whether jobs may travel together."""
        self.takes_chunks = True
        """Whether items of a map may."""
        self.mean: float | None = None
        """How long jobs take, in seconds: a moving average."""
        self.depth = prefetch.depth(None) if packets else 1
        self.run_seconds = RunSeconds()
        self.item_bytes: float | None = None
        """How big their arguments are."""
        self.pump_lock = threading.Lock()
        self.loader = CallbackThread(f"{self.core.name}-loader", self.core.mark_own_thread)
        self.core.user_calls.couriers.append(self.loader)
        self.interrupts = InterruptRepair(self)
        self.trim = Trim(self.core, lambda: self.workers)
        self._look_planned = False

    @abstractmethod
    def retire(self, worker: ProcessWorker, reason: str) -> None:
        """The worker takes no more: what lies in its socket goes to others, and it leaves."""

    @abstractmethod
    def see_to_new_workers(self) -> None:
        """Start workers that were made, and whose maker was interrupted."""

    @abstractmethod
    def take_gathered(self, worker: ProcessWorker) -> None:
        """Take the outcomes that stand in the worker's log and have not come otherwise."""

    @abstractmethod
    def _new_worker(self) -> ProcessWorker | None:
        """Begin to start a worker, which can be given jobs at once; ``None`` if there may be no more."""

    # -- submitting

    def resolve(self, fn: Callable[..., Any]) -> tuple[Callable[..., Any], TaskOptions]:
        """As `Workers.resolve`; a task that pickles by reference stays one, since its name leads to the task."""
        if type(fn) is Task:
            check_function(fn.fn)
            return fn.carried(), fn.merged(self.core.options)
        return super().resolve(fn)

    def prepare(self, job: Job) -> bool:
        """Pickle the job. One that cannot be fails with the pickling error itself."""
        error = self._pack(job)
        if error is not None:
            self.core.settlement.settle(job, Outcome.FAILED, error)
        return error is None

    def _pack(self, job: Job) -> Exception | None:
        try:
            job._packed = pack_call(self.functions, job)
            if job._options.meta and job._packed_meta is None:
                job._packed_meta = pack_meta(job._options.meta)
        except Exception as error:
            return error
        return None

    def _prepare_elsewhere(self, load: Load, job: Job) -> None:
        """Have a job pickled that is in the hand of *load*, and put into the queue then."""
        self.core.user_calls.send(self.loader, partial(self._pack_again, load, job), f"pickling job {job.job_id}")

    def _pack_again(self, load: Load, job: Job) -> None:
        """On the loader's thread."""
        load.ident = get_ident()
        error = self._pack(job)
        if load.put_down(job):
            if error is None:
                self.requeue(job)
            else:
                self.core.settlement.settle(job, Outcome.FAILED, error)
        self.load_is_over(load)
        self.full = False
        self.pump()

    def load_is_over(self, load: Load) -> None:
        """What *load* held has its outcome, or another place."""
        with self.core.lock:
            self.callers.discard(load)
            self.stuck.pop(load, None)
        if self.core.state is not PoolState.OPEN:
            self.bell.ring()

    def wake_worker(self) -> None:
        """A job was put into the queue: hand it to a worker with room."""
        self.supervision.supervise()
        if not self.full:
            self.pump()

    def enter_all(self, jobs: Sequence[Job]) -> int:
        """Take on jobs, looking for workers once; returns how many of the last were not accepted (the pool has
        closed)."""
        self.core.queue.items.extend(jobs)
        if jobs:
            self.supervision.supervise()
            if not self.full:
                self.pump()
        if self.core.refusal is not None:
            for count, job in enumerate(jobs):
                try:
                    self.core.admission.check_in(job)
                except PoolClosed:
                    return len(jobs) - count
        return 0

    def pump(self) -> None:
        """Hand waiting jobs to workers with room."""
        # `full` is set before the workers are looked at and cleared after they have changed, so that whoever finds
        # the lock taken can rely on its holder to look again.
        while not self.full and len(self.core.queue):
            got: list[bool] = []
            try:
                # One step in C: Ctrl-C cannot come between having the lock and knowing it.
                got.extend(map(self.pump_lock.acquire, _WITHOUT_BLOCKING))
                if True not in got:
                    return
                if self.interrupts.moving and not self.interrupts.see_to_moving():
                    return
                self.full = True
                self._hand_out()
            except BaseException:
                self.full = False
                self.was_interrupted()
                raise
            finally:
                if True in got:
                    self.pump_lock.release()

    def pump_for(self, job: Job) -> None:
        """As `pump`, for a new job. Raises what prevents it, once the job is taken back."""
        try:
            self.pump()
        except Exception as error:
            self.core.admission.not_pumped(job, error)

    def was_interrupted(self) -> None:
        """See `Workers.was_interrupted`."""
        self.interrupts.was_interrupted()

    def _hand_out(self) -> None:
        while len(self.core.queue):
            worker = self._pick()
            if worker is None:
                return
            # Not all to the first worker that has room, or the others would have nothing to do.
            share = len(self.core.queue) // max(1, len(self.available_workers))
            together = (
                self.takes_bundles
                and not self.core.emitter.context_carriers
                and not self.core.attention
                and self.core.broken_by is None
            )
            self._fill(worker, max(1, min(self.depth - len(worker.hand), share)) if together else 1)
        self.full = False

    def _fill(self, worker: ProcessWorker, room: int) -> None:
        """Hand over what is next, up to *room* jobs if these can travel together."""
        moving, size = self.interrupts.moving, 0
        while len(moving) < room and self.core.queue.take_into(moving):
            size += _size_in_bundle(moving[-1])
            if size > prefetch.TOGETHER_BYTES:
                if len(moving) > 1:
                    self.requeue(moving[-1])  # by its age it stays the next
                    moving.pop()
                break
        if len(moving) > 1:
            self._hand_over_bundle(worker, moving[:])
        elif moving:
            self._hand_over(worker, moving[0])
        moving.clear()

    def _pick(self) -> ProcessWorker | None:
        best: ProcessWorker | None = None
        avoided: ProcessWorker | None = None
        low = prefetch.refill(self.depth)
        if len(self.available_workers) > self.core.max_workers and self._busy() >= self.core.max_workers:
            return None  # after a resize, until the workers too many have left
        for worker in self.available_workers:
            if worker.socket_full or worker.taken is not None:
                continue
            held = len(worker.hand)
            if worker.avoided_until and worker.ready and worker.is_avoided():
                if not held:
                    avoided = worker
                continue
            if not held and worker.ready:
                return worker
            if held < self.depth and held <= low and (best is None or held < len(best.hand)):
                best = worker
        if best is not None and not best.hand:
            return best
        if self.may_grow:
            return self._new_worker()
        return best if best is not None and not self._is_slow(best) else avoided

    def _busy(self) -> int:
        return sum(1 for worker in self.available_workers if worker.hand or worker.taken is not None)

    def _is_slow(self, worker: ProcessWorker) -> bool:
        """Whether it has run its present job for longer than jobs should wait behind one."""
        return worker.has_run() > prefetch.WORTH

    def _hand_over(self, worker: ProcessWorker, job: Job | Chunk) -> None:
        if isinstance(job, Chunk):
            self._hand_over_chunk(worker, job)
            return
        if (self.core.attention or self.core.broken_by is not None or job._told is not None) and not self._may_go(job):
            return
        if job._packed is None and not self._is_prepared(worker, job):
            return
        first = self._put_into_hand(worker, [job])
        if first is None:
            return
        try:
            packet, loan = job_packet(job, self._carried(job) if self.core.emitter.context_carriers else None)
        except (OSError, ValueError) as error:
            if self.take_out(worker, job):
                self.core.settlement.settle(job, Outcome.FAILED, error)
            return
        except BaseException:  # Ctrl-C: nothing was sent
            if self.take_out(worker, job):
                self.requeue(job)
            raise
        if first:
            self._became_first(job)
        self._send(worker, [job], packet, loan)

    def _hand_over_bundle(self, worker: ProcessWorker, jobs: list[Job]) -> None:
        first = self._put_into_hand(worker, jobs)
        if first is None:
            return
        self._will_gather(worker, jobs[-1]._serial)
        packet = bundle_packet(jobs)
        if first:
            self._became_first(jobs[0])
        self._send(worker, jobs, packet, None)

    def _put_into_hand(self, worker: ProcessWorker, entries: Sequence[Job | Chunk]) -> bool | None:
        """Note what is about to be sent together, and say whether it is the first in the worker's hand.

        ``None``: the worker takes no more, and the entries are back in the queue.
        """
        with self.core.lock:
            if worker.dead or worker.retiring:
                for entry in entries:
                    self.requeue(entry)
                return None
            first = not worker.hand
            for entry, serial in zip(entries, itertools.count(next_serial())):
                entry.attempts += 1
                entry._state = PENDING
                entry._worker = worker
                entry._serial = serial
                worker.hand.append(entry)
        return first

    def _is_prepared(self, worker: ProcessWorker, job: Job) -> bool:
        """Pickle a job that was first run in its caller's thread, or was an item of a chunk."""
        if not self.core.user_calls.is_hurried():
            return self.prepare(job)
        load = Load(self.core, worker.name)
        with self.core.lock:
            load.hold(job)
            self.callers.add(load)
        self._prepare_elsewhere(load, job)
        return False

    def _may_go(self, job: Job) -> bool:
        """Settle a job that must not go to a worker any more, and say so."""
        if self.core.state in (PoolState.CANCELLING, PoolState.CLOSED):
            self.core.settlement.hand_back(job)
        elif self.core.broken_by is not None:
            self.core.settlement.settle(job, Outcome.FAILED, self.core.closed_error())
        elif job._told is not None:
            self.core.settlement.settle(job, Outcome.CANCELLED, job._pending_error or cancelled_error(job, "cancelled"))
        else:
            return True
        return False

    def _send(self, worker: ProcessWorker, entries: Sequence[Job | Chunk], packet: bytes, loan: Loan | None) -> None:
        # Before it is tried: what makes room clears it, and that may be over by the time that this thread goes on.
        worker.socket_full = True
        self.interrupts.moving.append(worker)
        sent: bool | None = None
        try:
            sent = worker.line.send(packet, None if loan is None else loan.fd)
        except OSError:
            sent = False  # it has just died: whoever handles that has the job, or it goes back here
        finally:
            if loan is not None:
                worker.outgoing.was_sent(loan, sent)
                self.trim.used()
        if sent:
            worker.socket_full = False
            if not any(isinstance(entry, Chunk) or entry._told is not None for entry in entries):
                return
        with self.core.lock:
            # A chunk may have been unfolded meanwhile, as any may that lies in a hand.
            for job in worker.sent_with(entries[0]._serial) if isinstance(entries[0], Chunk) else entries:
                if not sent and self.take_out(worker, job):
                    self.requeue(job)
                elif job._told is not None:
                    worker.tell(job, job._told)  # whoever told it did not know this sending's serial yet

    def _became_first(self, job: Job | Chunk) -> None:
        """See `StealingWorkers._became_first`."""
        worker = job._worker
        with self.core.lock:
            if isinstance(job, Chunk) and job.jobs is not None and worker.hand:
                job = worker.hand[0]  # it was unfolded since
            if job._state is RUNNING or not worker.hand or worker.hand[0] is not job:
                return  # another thread has said so, or the job has ended since
            if worker.taken is not None:
                return  # not yet: it will be said when that has ended
            job._began = now = monotonic()
            job._state = RUNNING
            told = not isinstance(job, Chunk) and self.told_started.pop(job, None) == job.attempts
        self.see_to_unread()
        if self.core.state is PoolState.CANCELLING:
            # It was on its way when the drain gave back what waits: it is told, as those were that ran.
            self._tell_first(worker)
        if isinstance(job, Chunk):
            return
        timeout = job._options.timeout
        if timeout is not None:
            # The earliest moment that can be its limit; when that comes, the page says what is.
            job._attempt_ends = now + timeout
            self.core.wake_before(job._attempt_ends)
        if self.core.emitter.sinks and not told:
            self.core.emitter.emit_deferred(job)
            waited = now - job._submitted
            context = _submitters_context(job)
            context.run(
                self.core.emitter.emit, events.JobStarted(self.core.name, now, *job_facts(job), worker.name, waited)
            )

    def _tell_first(self, worker: ProcessWorker) -> None:
        """The pool is cancelling: tell what the worker runs now."""
        with self.core.lock:
            if worker.hand and isinstance(worker.hand[0], Chunk):
                self.unfold(worker.hand[0])
            running = worker.running()
        for job in running:
            self.core.termination.tell(job, "shutdown", cancelled_error(job, "shutdown"))

    def _carried(self, job: Job) -> bytes | None:
        """What sinks want done in the worker before the job, as a pickle; ``None``: nothing."""
        event = events.JobEvent(self.core.name, monotonic(), *job_facts(job))
        context = _submitters_context(job)
        wanted: list[bytes] = []
        for sink in self.core.emitter.context_carriers:
            try:
                ask = partial(context.run, _what_it_carries, sink, event)
                wanted += self.core.user_calls.aside.call(ask, []) if self.core.user_calls.is_hurried() else ask()
            except BaseException as error:
                self.core.emitter.mute(error)
        return pickle.dumps(wanted) if wanted else None

    # -- chunks: see `pools.processes.chunk`

    def enter_chunk(
        self, options: TaskOptions, fn: Callable[..., Any], calls: list[tuple[Any, ...]], landed: Landed | None
    ) -> Chunk | None:
        """Take on the first of these calls, as many as should travel together; ``None`` if they should not.

        Raises:
            PoolClosed: the pool takes no more jobs.
        """
        rooms = self._take_rooms(prefetch.together(len(calls), self.run_seconds.of(fn), self.item_bytes))
        packed, calls = self._pack_together(fn, calls[:rooms])
        self.core.queue.give_rooms(rooms - len(calls))
        if packed is None:
            return None
        numbers = list(islice(self.core.tickets, len(calls)))
        if numbers[-1] - numbers[0] >= len(numbers):
            # Not with the GIL: another thread has taken tickets in between. The worker counts from the first.
            self.core.counts.withdraw(len(numbers))
            self.core.queue.give_rooms(len(numbers))
            return None
        chunk = Chunk(self, options, fn, calls, numbers, packed, landed)
        self.core.queue.items.append(chunk)
        if not self.full:
            self.pump()
        if self.core.refusal is not None and self.core.queue.remove(chunk):
            self.core.queue.give_rooms(chunk.rooms)
            self.core.counts.withdraw(chunk.size)
            self.bell.ring()
            raise self.core.refusal()
        return chunk

    def items_together(self, fn: Callable[..., Any], window: int) -> int:
        """How many of the next items of a map to gather, if the caller does not say."""
        if not self.takes_chunks or self.core.emitter.sinks:
            return 1
        return prefetch.by_themselves(self.run_seconds.of(fn), window, self.core.max_workers)

    def _pack_together(
        self, fn: Callable[..., Any], calls: list[tuple[Any, ...]]
    ) -> tuple[PackedChunk | None, list[tuple[Any, ...]]]:
        """Pickle as many of the first of these calls as fit a packet, and say which; none if they are to go singly."""
        while len(calls) > 1:
            try:
                packed, size = pack_chunk(self.functions, fn, calls)
            except Exception:
                break  # one of them cannot be pickled: each for itself, so that it fails alone
            self.item_bytes = size / len(calls)
            if size <= INLINE_MOST:
                return packed, calls
            calls = calls[: len(calls) // 2]
        return None, []

    def _take_rooms(self, count: int) -> int:
        """Take as many places of the queue, waiting for them as a single job does; fewer if it has no more."""
        queue = self.core.queue
        if queue.take_rooms(count):
            return count
        if self.waits.is_own_thread() or running_loop() is not None:
            return 0  # what each then does is up to the single job
        return queue.wait_for_rooms(count, lambda: self.core.refusal is not None)

    def _hand_over_chunk(self, worker: ProcessWorker, chunk: Chunk) -> None:
        self._free_rooms(chunk)
        with self.core.lock:
            if chunk.unwanted:
                self._cancel_items(chunk)
                return
            if self.core.attention or self.core.broken_by is not None or worker.dead or worker.retiring:
                for job in chunk.unfold():
                    if self._may_go(job):
                        self.requeue(job)
                return
            first = self._put_into_hand(worker, [chunk])
            packet = chunk_packet(chunk)
        self._will_gather(worker, chunk._serial + LOADING)
        if first:
            self._became_first(chunk)
        self._send(worker, [chunk], packet, None)

    def _will_gather(self, worker: ProcessWorker, last: int) -> None:
        """Outcomes up to that serial may gather in their worker: look for them now and then."""
        worker.last_together = last
        if not self._look_planned:
            self._look_planned = True
            with self.core.lock:
                self.core.timers.add(monotonic() + RESULTS_WITHIN, self._look_for_outcomes)
            self.core.wake_before(monotonic() + RESULTS_WITHIN)

    def _look_for_outcomes(self) -> None:
        """Take what has gathered in workers where it takes long."""
        now = monotonic()
        with self.core.lock:
            # Unfolded or not: its worker does not know.
            busy = [worker for worker in self.workers if worker.hand and worker.hand[0]._serial <= worker.last_together]
            self._look_planned = bool(busy)
            if busy:
                self.core.timers.add(now + RESULTS_WITHIN, self._look_for_outcomes)
        for worker in busy:
            log = worker.page.log_of()
            if log == worker.log_seen:
                self.take_gathered(worker)  # or else what was there at the last look has left
            worker.log_seen = log
        if busy and not self.core.queue:
            self.steal_for_idle()  # no result need ever come of a chunk whose first item is long

    def _free_rooms(self, chunk: Chunk) -> None:
        rooms, chunk.rooms = chunk.rooms, 0
        self.core.queue.give_rooms(rooms)

    def unfold(self, chunk: Chunk) -> list[Job]:
        """Make jobs of what has not come back of a chunk, where it is; none if it is between two places."""
        with self.core.lock:
            if chunk.jobs is not None:
                return chunk.jobs[:]
            worker = chunk._worker
            if worker is not None and chunk in worker.hand:
                jobs = chunk.unfold()
                at = worker.hand.index(chunk)
                del worker.hand[at]
                for job in reversed(jobs):
                    worker.hand.insert(at, job)
                if at == 0:
                    jobs[0]._state = chunk._state
                return jobs
            if self.core.queue.remove(chunk):
                self._free_rooms(chunk)
                jobs = chunk.unfold()
                for job in jobs:
                    self.requeue(job)
                return jobs
            return []

    def cancel_chunk(self, chunk: Chunk) -> None:
        """Cancel what has not started of a chunk."""
        with self.core.lock:
            if chunk.jobs is None and chunk.done == chunk.size:
                return
            if chunk.jobs is None and (self.core.queue.remove(chunk) or self.reclaim(chunk)):
                self._free_rooms(chunk)
                self._cancel_items(chunk)
                return
            jobs = self.unfold(chunk)
            # With no jobs it is between the queue and a worker, in the hands of a thread that waits for the lock.
            chunk.unwanted = not jobs
        for job in jobs:
            job.cancel()

    def _cancel_items(self, chunk: Chunk) -> None:
        """Cancel what has not come back of a chunk that was taken out of its place."""
        for job in chunk.unfold():
            self.core.settlement.settle(job, Outcome.CANCELLED, cancelled_error(job, "cancelled"))

    def take_waiting(self) -> Job | None:
        """See `Workers.take_waiting`: a chunk that waits is unfolded."""
        while isinstance(entry := self.core.queue.take(), Chunk):
            self._free_rooms(entry)
            with self.core.lock:
                for job in entry.unfold():
                    self.requeue(job)
        return entry

    def held_jobs(self) -> list[Job]:
        """See `Workers.held_jobs`: a chunk that somebody asks about is unfolded."""
        with self.core.lock:
            for worker in self.workers:
                if worker.hand and isinstance(worker.hand[0], Chunk):
                    self.unfold(worker.hand[0])
        return super().held_jobs()

    def count_running(self, held: list[Job]) -> int:
        """See `Workers.count_running`: a job whose result is being loaded has left its worker."""
        return sum(not isinstance(job._worker, Load) for job in held)

    def sent_jobs(self) -> list[Job | Chunk]:
        """See `Workers.sent_jobs`."""
        return [entry for worker in self.workers for entry in [*worker.hand][worker.taken is None :]]

    def jobs_in(self, entry: Job | Chunk) -> int:
        """See `Workers.jobs_in`: a chunk counts as its items."""
        return entry.size if isinstance(entry, Chunk) else 1


def _what_it_carries(sink: ContextCarrier, event: events.JobEvent) -> list[bytes]:
    action = sink.carry(event)
    return [] if action is None else [dump(action, main_by_name=True).stream]


def _size_in_bundle(entry: Job | Chunk) -> int:
    """Bytes of the entry in a packet with others; `ALONE` if it goes by itself."""
    if isinstance(entry, Chunk) or entry._packed is None or entry._told is not None:
        return ALONE
    options, packed = entry._options, entry._packed
    if packed.plain is None or packed.flags & WHOLE or options.id or options.name or options.meta:
        return ALONE
    return HEAD_MOST + len(packed.plain)


def _submitters_context(job: Job) -> Context:
    """A copy of the context in which the job was submitted: what one attempt sets there is not the next one's."""
    context: Context | None = job._context
    return Context() if context is None else context.copy()
