"""The core of a `ProcessPool`: which worker gets which job, what comes back, and what becomes of a worker that dies.

Theory of operation
-------------------
    submitter ──▶ queue ──▶ pump ══ packets ══▶ worker process (child.py)
                             ▲                      │
    waiters ◀── settle ◀── supervisor ◀══ frames ═══┘        pidfd: "it is dead"   page: "it runs k since t"

* **The submitter** pickles the job and *pumps*: it hands waiting jobs to workers with room. One thread pumps at a
  time; another that would like to leaves it to the one that does, which looks again before it stops.
* **The supervisor** is the loop of `pools.supervisor`. Here it sleeps in a selector: on every worker's results and
  death, on its bell, until the next deadline. It pumps after results.
* **A starter thread** lives while workers are being started, which can take tens of milliseconds.

A worker's ``hand`` is what was sent to it and has not come back, in order: the first runs, the others lie in its
socket. How many that may be follows from how long jobs take (`rules.prefetch`). What lies there can be taken back, one
packet at a time, by the kernel's own atomicity: to cancel it, to give it to a worker that is idle while this one
is busy, and when the worker has died.

Who is to blame when a worker dies: the page names the job it began last. If that one's result has not come, it is
``CRASHED``. Jobs before it in the hand belong to a chunk and had their results not sent yet: they are too. Jobs after
it never began: they go back into the queue, unmarked. Nobody is blamed if the job had come back, or had been settled.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import threading
from collections.abc import Callable
from concurrent.futures._base import PENDING, RUNNING
from contextlib import suppress
from functools import partial
from multiprocessing.context import BaseContext
from time import monotonic
from typing import Any

from steadypool.machinery import parcel
from steadypool.machinery.carried import unpack_error
from steadypool.machinery.courier import Courier
from steadypool.machinery.oom import oom_kills
from steadypool.machinery.payload import Functions, load
from steadypool.machinery.wire import (
    BROKEN,
    ERROR,
    NOT_FOUND,
    NOTHING,
    PROGRESS,
    READY,
    RESULT,
    RETIRING,
    VALUE,
    VALUE_PARCEL,
    can_keep_packets,
    read_jobs,
)
from steadypool.pools.core import Core, Job, Settings, cancelled_error, forked_error, job_facts
from steadypool.pools.functions import check_function
from steadypool.pools.hands import HandCore
from steadypool.pools.processes.bell import PipeBell
from steadypool.pools.processes.frames import next_packet, pack_call, workers_import_main
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.supervisor import hand_back
from steadypool.pools.thread_worker import ThreadWorker
from steadypool.rules import prefetch
from steadypool.rules.respawn import restart_delay
from steadypool.words import events
from steadypool.words.errors import WorkerCrashed
from steadypool.words.options import Task, TaskOptions
from steadypool.words.states import Outcome, PoolState

STEAL_AFTER = 0.002
"""Seconds that a worker may run one job before what lies behind it goes to an idle worker."""
LEAVE_SECONDS = 1.0
"""How long an idle worker may take to leave before it is killed."""


class ProcessCore(HandCore):
    """The books and the control plane of a pool of processes."""

    def __init__(self, settings: Settings, max_workers: int, context: BaseContext, kit: dict[str, Any]) -> None:
        super().__init__(settings, max_workers)
        self.bell: Any = PipeBell()
        self.workers: set[ProcessWorker] = set()
        self.crew: tuple[ProcessWorker, ...] = ()
        """The workers that may be given jobs."""
        self.stuck: dict[Any, Job] = {}
        self.functions = Functions(workers_import_main())
        self.full = False
        """No worker has room: nobody need try before a result comes."""
        self.may_grow = True
        self.mean: float | None = None
        self.packets = can_keep_packets() and not kit.pop("without_packets", False)
        self.depth = prefetch.depth(None) if self.packets else 1
        self.restarts = 0
        self._context = context
        self._kit = kit
        self._starter = Courier(f"{self.name}-starter", lambda: None)
        self._spawning = threading.RLock()
        self._early_deaths = 0
        self._holding = False
        self._numbers = iter(range(1 << 62))
        self._pump_lock = threading.Lock()
        self._reading = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.bell.fd, selectors.EVENT_READ, self.bell.heard)
        self._steal_planned = False
        self._oom_kills = oom_kills()
        self._gone = threading.Event()

    # -- submitting

    def resolve(self, fn: Callable[..., Any]) -> tuple[Callable[..., Any], TaskOptions]:
        """As `Core.resolve`; a task that pickles by reference stays one, since its name leads to the task."""
        if type(fn) is Task:
            check_function(fn.fn)
            return fn.carried(), fn.merged(self.options)
        return super().resolve(fn)

    def prepare(self, job: Job) -> bool:
        """Pickle the job. One that cannot be fails with the pickling error itself."""
        try:
            job._packed = pack_call(self.functions, job)
        except Exception as error:
            self.settle(job, Outcome.FAILED, error)
            return False
        return True

    def wake_worker(self) -> None:
        """A job was put into the queue: hand it to a worker with room."""
        self.supervise()
        if not self.full:
            self.pump()

    def pump(self) -> None:
        """Hand waiting jobs to workers with room."""
        # `full` is set before the workers are looked at and cleared after they have changed, so that whoever finds
        # the lock taken can rely on its holder to look again.
        while not self.full and len(self.queue):
            if not self._pump_lock.acquire(blocking=False):
                return
            try:
                self.full = True
                self._hand_out()
            finally:
                self._pump_lock.release()

    def _hand_out(self) -> None:
        while len(self.queue):
            worker = self._pick()
            if worker is None:
                return
            job = self.queue.take()
            if job is not None:
                self._hand_over(worker, job)
        self.full = False

    def _pick(self) -> ProcessWorker | None:
        best: ProcessWorker | None = None
        for worker in self.crew:
            if worker.congested or worker.taken is not None:
                continue
            held = len(worker.hand)
            if not held and worker.ready:
                return worker
            if held < self.depth and (best is None or held < len(best.hand)):
                best = worker
        if best is not None and not best.hand:
            return best
        if self.may_grow:
            return self._new_worker()
        return best if best is not None and not self._is_slow(best) else None

    def _is_slow(self, worker: ProcessWorker) -> bool:
        """Whether it has run its present job for longer than jobs should wait behind one."""
        try:
            job = worker.hand[0]
        except IndexError:
            return False
        return worker.has_started(job) and monotonic() - worker.page.began() > prefetch.WORTH

    def _hand_over(self, worker: ProcessWorker, job: Job) -> None:
        if self.state in (PoolState.CANCELLING, PoolState.CLOSED):
            hand_back(self, job)
            return
        if self.broken_by is not None:
            self.settle(job, Outcome.FAILED, self.closed_error())
            return
        with self.lock:
            if worker.dead or worker.retiring:
                self._requeue(job)
                return
            job.attempts += 1
            job._worker = worker
            worker.hand.append(job)
            first = len(worker.hand) == 1
        try:
            packet, fd = next_packet(job)
        except (OSError, ValueError) as error:
            if self._take_out(worker, job):
                self.settle(job, Outcome.FAILED, error)
            return
        try:
            self._send(worker, job, packet, fd, first)
        finally:
            if fd is not None:
                os.close(fd)

    def _send(self, worker: ProcessWorker, job: Job, packet: bytes, fd: int | None, first: bool) -> None:
        if job._told is not None and self._take_out(worker, job):
            self.settle(job, Outcome.CANCELLED, job._pending_error or cancelled_error(job, "cancelled"))
            return
        if first:
            self._became_first(job)
        try:
            sent = worker.line.send(packet, fd)
        except OSError:
            sent = False  # it has just died: whoever handles that has the job, or it goes back here
        if not sent:
            worker.congested = True
            if self._take_out(worker, job):
                self._requeue(job)

    def _take_out(self, worker: ProcessWorker, job: Job) -> bool:
        with self.lock:
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            job.attempts -= 1
            return True

    def _requeue(self, job: Job) -> None:
        """Back into the queue, by its age in front; it has not begun."""
        job._state = PENDING
        job._attempt_ends = None
        self.queue.put_ranked(job, has_room=False)

    def _became_first(self, job: Job) -> None:
        """The job is the first in its worker's hand: it runs now, or will in a moment."""
        job._began = now = monotonic()
        job._state = RUNNING
        timeout = job._options.timeout
        if timeout is not None:
            # The earliest moment that can be its limit; when that comes, the page says what is.
            job._attempt_ends = now + timeout
            self._wake_before(job._attempt_ends)
        if self.sinks:
            self.announce(job)
            waited = now - job._submitted
            self.emit(events.JobStarted(self.name, now, *job_facts(job), job._worker.name, waited))

    # -- what comes back

    def rest(self, until: float | None) -> None:
        """Wait for results, deaths or the bell, until *until* at most, and deal with what comes."""
        if not self._reading.acquire(blocking=False):
            # Another thread is at it, and held up: see `pools.supervisor`.
            self.closed.wait(0.02)
            return
        try:
            seconds = None if until is None else max(0.0, until - monotonic())
            for key, _ in self._selector.select(seconds):
                key.data()
        finally:
            self._reading.release()

    def _results_came(self, worker: ProcessWorker) -> None:
        frames, ended = worker.read_results()
        for frame in frames:
            self._frame_came(worker, *frame)
        if ended:
            self._unwatch(worker.results)
        if frames:
            self.depth = prefetch.depth(self.mean) if self.packets else 1
            self._has_room(worker)

    def _has_room(self, worker: ProcessWorker) -> None:
        worker.congested = False
        self.full = False
        if len(self.workers) > self.max_workers and not worker.hand:
            self._retire_surplus()
        self.pump()
        if not self.queue:
            self._share_out()
        if self.state is not PoolState.OPEN:
            self.bell.ring()

    def _frame_came(self, worker: ProcessWorker, serial: int, status: int, seconds: float, payload: bytes) -> None:
        if status == READY:
            self._worker_is_ready(worker, int(payload))
        elif status == RETIRING:
            self._retire(worker, "worn out")
        elif status == BROKEN:
            self._broke(unpack_error(payload))
        elif status == PROGRESS:
            self._progress_came(worker, serial, payload)
        elif status == NOT_FOUND:
            self._was_not_found(worker, serial)
        else:
            self.mean = prefetch.moving_average(self.mean, seconds)
            self._result_came(worker, serial, status, payload)

    def _result_came(self, worker: ProcessWorker, serial: int, status: int, payload: bytes) -> None:
        error: BaseException | None = None
        result: Any = None
        if status == ERROR:
            error = unpack_error(payload)
        elif status != NOTHING:
            try:
                result = self._load(worker, serial, status, payload)
            except Exception as failure:
                failure.add_note("(the job returned, but its result cannot be loaded in the parent process)")
                error = failure
        job = self._came_back(worker, serial, error is None)
        if job is None:
            return
        if error is not None:
            self.attempt_raised(job, error)
            return
        if self.sinks:
            self.emit_end(job, Outcome.SUCCEEDED, None)
        if job._alarm is not None:
            self._drop_alarm(job)
        job._packed = None
        job._settle(Outcome.SUCCEEDED, result, None)
        if job._callbacks:
            self._call_back(job)

    def _was_not_found(self, worker: ProcessWorker, serial: int) -> None:
        """A worker looked in vain for something of the main module: send the job again, by value."""
        self.functions.carry_main_by_value()
        job = self._came_back(worker, serial, False)
        if job is not None and self.prepare(job):
            job.attempts -= 1
            self._requeue(job)

    def _load(self, worker: ProcessWorker, serial: int, status: int, payload: bytes) -> Any:
        if status == VALUE:
            return load(payload)
        assert status == VALUE_PARCEL
        while (received := worker.line.receive(wait=False)) is not None:
            packet, fd = received
            if fd is None:
                break
            if RESULT.unpack(packet)[0] == serial:
                stream, *buffers = parcel.unpack(fd, pickle.loads(payload))
                return load(stream, buffers)
            os.close(fd)  # of a job that was settled meanwhile
        raise OSError("the result's memory did not come with it")

    def _came_back(self, worker: ProcessWorker, serial: int, succeeded: bool) -> Job | None:
        """Take the job that a result is for out of the hand; ``None`` if it was settled meanwhile."""
        with self.lock:
            worker.done += 1
            taken = worker.taken
            if taken is not None and taken._serial == serial:
                worker.taken = worker.taken_name = None
                following = worker.hand[0] if worker.hand else None
                job = None
            elif worker.hand and worker.hand[0]._serial == serial:
                job = worker.hand.popleft()
                following = worker.hand[0] if worker.hand else None
                if succeeded:
                    self.counts[Outcome.SUCCEEDED] += 1
            else:
                return None
        if following is not None:
            self._became_first(following)
        return job

    def _progress_came(self, worker: ProcessWorker, serial: int, payload: bytes) -> None:
        for job in worker.running():
            if job._serial == serial:
                done, total = job._progress = pickle.loads(payload)
                if self.sinks:
                    self.emit(events.JobProgress(self.name, monotonic(), *job_facts(job), done, total))

    # -- sharing

    def _share_out(self) -> None:
        """Give an idle worker what lies unread behind another's long job."""
        if not any(not worker.hand and worker.taken is None for worker in self.crew):
            return
        for worker in self.crew:
            if len(worker.hand) < 2 and not (worker.hand and worker.taken is not None):
                continue
            if worker.taken is not None or self._has_run(worker) >= STEAL_AFTER:
                if self._take_back(worker, most=1):
                    self.full = False
                    self.pump()
            elif not self._steal_planned:
                self._steal_planned = True
                with self.lock:
                    self.agenda.add(monotonic() + STEAL_AFTER, self._share_again)

    def _share_again(self) -> None:
        self._steal_planned = False
        self._share_out()

    def _has_run(self, worker: ProcessWorker) -> float:
        jobs = worker.running()
        return monotonic() - worker.page.began() if jobs and worker.has_started(jobs[0]) else 0.0

    def _take_back(self, worker: ProcessWorker, most: int = 1 << 30) -> int:
        """Take packets out of the worker's socket that it has not read, and put their jobs into the queue."""
        count = 0
        while count < most and worker.duplicate.keeps_packets:
            try:
                received = worker.duplicate.receive(wait=False)
            except OSError:
                return count
            if received is None or not received[0]:
                return count
            packet, fd = received
            if fd is not None:
                os.close(fd)
            serials = {frame.serial for frame in read_jobs(packet)}
            with self.lock:
                back = [job for job in worker.hand if job._serial in serials]
                for job in back:
                    worker.hand.remove(job)
                    job.attempts -= 1
                    self._requeue(job)
            count += 1
        return count

    def reclaim(self, job: Job) -> bool:
        """Take a job back that was sent to a worker and not begun; false if it was, or is not there."""
        worker = job._worker
        if not isinstance(worker, ProcessWorker) or job not in worker.hand or worker.has_started(job):
            return False
        self._take_back(worker)
        mine = self.queue.remove(job)
        self.full = False
        self.pump()
        return mine

    def reclaim_waiting(self) -> None:
        """Put all jobs that were sent and not read back into the queue, before the drain hands it back."""
        for worker in list(self.workers):
            self._take_back(worker)

    # -- workers come and go

    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""
        self.crew = tuple(worker for worker in self.workers if not worker.retiring and not worker.dead)
        self.may_grow = len(self.crew) < self.max_workers and not self._holding and self.refusal_is_soft()

    def refusal_is_soft(self) -> bool:
        """Whether there may still be jobs to run."""
        return self.state is not PoolState.CLOSED and self.broken_by is None

    def _new_worker(self) -> ProcessWorker | None:
        with self.lock:
            if not self.may_grow:
                return None
            worker = ProcessWorker(f"{self.name}_{next(self._numbers)}", self.packets)
            self.workers.add(worker)
            self.recount()
        self._selector.register(worker.results, selectors.EVENT_READ, partial(self._results_came, worker))
        self._starter.carry(partial(self._start, worker))
        return worker

    def _start(self, worker: ProcessWorker) -> None:
        """On the starter thread."""
        with self._spawning:
            if worker.dead or self._gone.is_set():
                return
            try:
                worker.start(self._context, {"pool": self.name, **self._kit})
            except Exception as error:
                self._could_not_start(worker, error)
                return
            watch = partial(self._worker_died, worker)
            self._selector.register(worker.death_watch(), selectors.EVENT_READ, watch)
        self.bell.ring()

    def _could_not_start(self, worker: ProcessWorker, error: Exception) -> None:
        if isinstance(error, OSError):
            with self.lock:
                self.agenda.add(monotonic(), self._worker_died, worker)  # too many processes, say: try again later
        else:
            self._broke(error)  # an initializer that cannot be pickled, say: no worker will ever start
            with self.lock:
                self.agenda.add(monotonic(), self._worker_died, worker)
        self.bell.ring()

    def _worker_is_ready(self, worker: ProcessWorker, thread_ident: int) -> None:
        worker.thread_ident = thread_ident
        worker.ready = True
        self._early_deaths = 0
        if self.sinks:
            self.emit(events.WorkerStarted(self.name, monotonic(), worker.name))
        for job in worker.running():
            job._began = monotonic()

    def _retire(self, worker: ProcessWorker, reason: str) -> None:
        """The worker takes no more: what lies in its socket goes to others, and it leaves."""
        with self.lock:
            if worker.retiring:
                return
            worker.retiring = True
            self.recount()
        self._take_back(worker)
        worker.end_line()
        self.full = False
        if len(self.queue) or (reason == "worn out" and self.state is PoolState.OPEN):
            self._new_worker()  # now, not when it is needed: starting takes a while
        self.pump()

    def _retire_surplus(self) -> None:
        for worker in self.crew[self.max_workers :]:
            if not worker.hand and worker.taken is None:
                self._retire(worker, "resized")

    def resize(self, max_workers: int) -> None:
        """See `ProcessPool.resize`."""
        with self.lock:
            if self.state is PoolState.CLOSED:
                raise self.closed_error()
            self.max_workers = max_workers
            self.recount()
        if self.sinks:
            self.emit(events.CapacityChanged(self.name, monotonic(), max_workers, max_workers))
        with self.lock:
            self.agenda.add(monotonic(), self._resized)
        self.supervise()
        self.bell.ring()

    def _resized(self) -> None:
        for worker in sorted(self.crew, key=lambda w: len(w.hand))[: max(0, len(self.crew) - self.max_workers)]:
            if not worker.hand and worker.taken is None:
                self._retire(worker, "resized")
        self.full = False
        self.pump()

    def give_up_on(self, worker: Any, job: Job) -> None:
        """Kill a worker that did not stop in its grace; another takes its place."""
        with self.lock:
            if worker.taken is not job or worker.left:
                return
            worker.left = True
            if isinstance(worker, ThreadWorker):
                self.stuck[worker] = job  # a caller's own thread: nobody can kill that
                return
            worker.retiring = True
            self.recount()
        self._take_back(worker)
        worker.kill()
        self.full = False
        self.pump()

    def _worker_died(self, worker: ProcessWorker) -> None:
        """The process is dead: settle what it is to blame for, and give the rest to others."""
        if worker.dead:
            return
        while self._read_last_results(worker):
            pass
        self._unwatch(worker.results)
        if worker.started:
            self._unwatch(worker.death_watch())
        self._take_back(worker)
        with self.lock:
            worker.dead = True
            hand = list(worker.hand)
            worker.hand.clear()
            worker.taken = None
            self.take_off(worker)
            self.stuck.pop(worker, None)
            blamed = self._blamed(worker, hand)
            for job in hand[len(blamed) :]:
                job.attempts -= 1
                self._requeue(job)
        error = self._crash_error(worker) if blamed or not worker.ready else None
        for job in blamed:
            assert error is not None
            self.attempt_raised(job, error if len(blamed) == 1 else self._crash_error(worker), Outcome.CRASHED)
        if self.sinks:
            reason = "killed" if worker.left else "retired" if worker.retiring else "died"
            self.emit(events.WorkerEnded(self.name, monotonic(), worker.name, reason))
        self._replace(worker, error)
        if self.broken_by is not None:
            self.fail_waiting()
        worker.close()

    def _read_last_results(self, worker: ProcessWorker) -> bool:
        frames, _ = worker.read_results()
        for frame in frames:
            self._frame_came(worker, *frame)
        return bool(frames)

    def _blamed(self, worker: ProcessWorker, hand: list[Job]) -> list[Job]:
        """The jobs that died with the worker: the one it ran, and those before it whose results had not left."""
        if worker.left:
            return []
        began = worker.page.running()
        for index, job in enumerate(hand):
            if job._serial == began:
                return hand[: index + 1]
        return []

    def _crash_error(self, worker: ProcessWorker) -> WorkerCrashed:
        code = worker.exitcode()
        name = None
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
        stack, where = worker.parse_stack(worker.read_stacks(0.0)) if worker.started else ("", "")
        oom = self._oom_moved() if name == "SIGKILL" else None
        how = f"was killed by {name}" if name else f"ended with exit code {code}" if code is not None else "died"
        why = " (the kernel's out-of-memory counter moved)" if oom else ""
        while_doing = "while it ran this job" if worker.ready else "before it was ready"
        message = f"worker process {worker.pid} {how} {while_doing}{why}"
        if stack:
            message += f"\nIt was here:\n{stack.rstrip()}"
        error = WorkerCrashed(message, pid=worker.pid, exitcode=code, signal_name=name, stack=stack, oom=oom)
        error.steadypool_where = where  # type: ignore[attr-defined]
        return error

    def _oom_moved(self) -> bool | None:
        before, self._oom_kills = self._oom_kills, oom_kills()
        return None if before is None or self._oom_kills is None else self._oom_kills > before

    def _replace(self, worker: ProcessWorker, error: WorkerCrashed | None) -> None:
        with self.lock:
            self.restarts += not worker.retiring or worker.left
            if not worker.ready and not worker.retiring and self.refusal_is_soft():
                self._early_deaths += 1
                delay = restart_delay(self._early_deaths)
                if delay is not None:
                    self._holding = True
                    self.agenda.add(monotonic() + delay, self._stop_holding)
            else:
                delay = 0.0
            self.recount()
        if delay is None:
            assert error is not None
            self._broke(error)
        self.full = False
        self.pump()
        if self.state is not PoolState.OPEN:
            self.bell.ring()

    def _stop_holding(self) -> None:
        with self.lock:
            self._holding = False
            self.recount()
        self.full = False
        self.pump()

    def _broke(self, error: BaseException) -> None:
        super().broke(error)
        with self.lock:
            self.recount()

    def _unwatch(self, what: Any) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(what)

    # -- what the control plane asks

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        worker = job._worker
        if worker is None or isinstance(worker, ThreadWorker):
            return super().take_from_worker(job)
        with self.lock:
            runs = worker.running() == (job,)
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            if runs:
                worker.taken_name = job._task_name
                worker.taken = job
            return True

    def stop_attempt(self, job: Job, cause: str) -> None:
        """Tell the attempt to stop. The lock is held."""
        job._tell(cause)
        worker = job._worker
        if isinstance(worker, ProcessWorker) and job in worker.hand:
            worker.tell(job, cause)

    def attempt_ends(self, job: Job) -> float | None:
        """When the attempt's time is up. The page is asked only when that could be now."""
        ends, timeout, worker = job._attempt_ends, job._options.timeout, job._worker
        now = monotonic()
        if ends is None or timeout is None or ends > now or isinstance(worker, ThreadWorker):
            return ends
        job._attempt_ends = (worker.page.began() if worker.has_started(job) else now) + timeout
        return job._attempt_ends

    def all_idle(self) -> bool:
        """Whether no worker holds a job. The lock is held."""
        return not self.callers and not any(worker.hand for worker in self.workers)

    def worker_facts(self) -> dict[str, Any]:
        """What `PoolStats` says of the workers. The lock is held."""
        return {
            "stuck": len(self.stuck),
            "workers": len(self.crew),
            "capacity": self.max_workers,
            "restarts": self.restarts,
            "worker_rows": tuple(worker.row() for worker in sorted(self.crew, key=lambda w: w.name)),
        }

    def begin_wait(self, job: Job | None) -> None:
        """A job in a worker process cannot wait for this pool; other threads may."""
        if self.pid != os.getpid():
            raise forked_error(self)

    def end_wait(self, waiting: object) -> None:
        """See `machinery.future.Owner`."""

    # -- the end

    def has_workers(self) -> bool:
        """Whether any worker lives."""
        return bool(self.workers)

    def wake_all_workers(self) -> None:
        """The pool is closed: have every worker leave."""
        with self.lock:
            self.recount()
            workers = list(self.workers)
        for worker in workers:
            worker.end_line()

    def farewell(self) -> None:
        """See every worker off, and give back every descriptor. The pool is closed."""
        with self._spawning:
            if self._gone.is_set():
                return
            until = monotonic() + LEAVE_SECONDS
            for worker in list(self.workers):
                if worker.left or worker.taken is not None or not worker.is_dead(until - monotonic()):
                    worker.kill()
                    worker.is_dead(LEAVE_SECONDS)
                worker.close()
                if self.sinks:
                    self.emit(events.WorkerEnded(self.name, monotonic(), worker.name, "closed"))
            with self.lock:
                self.workers.clear()
                self.recount()
            self._selector.close()
            self.bell.close()
            self._gone.set()

    def join(self, until: float | None) -> None:
        """Wait for the workers to have left; after *until*, see them off here."""
        if not self._gone.wait(None if until is None else max(0.0, until - monotonic())):
            self.farewell()
        if self._supervisor is not None and self._supervisor is not threading.current_thread():
            self._supervisor.join(None if until is None else max(0.0, until - monotonic()))

    def disown(self) -> None:
        """In a forked child: the parent's ends must not stay open here, or the workers would outlive their parent."""
        super().disown()
        if self._gone.is_set():
            return
        for worker in self.workers:
            worker.close_ends()
        self.bell.close()

    def pids(self) -> list[int]:
        """The processes of the workers that live."""
        with self.lock:
            return [worker.pid for worker in self.workers if worker.started and not worker.dead]


__all__ = ["Core", "ProcessCore"]
