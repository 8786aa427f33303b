"""The core of a `ProcessPool`: which worker gets which job, what comes back, and what becomes of a worker that dies.

Theory of operation
-------------------
    submitter ──▶ queue ──▶ pump ══ packets ══▶ worker process (child.py)
                             ▲                      │
    waiters ◀── settle ◀── supervisor ◀══ frames ═══┘        pidfd: "it is dead"   page: "it runs k since t"

* **The submitter** pickles the job and *pumps*: it hands waiting jobs to workers with room. One thread pumps at a
  time; another that would like to leaves it to the one that does, which looks again before it stops.
* **The supervisor** is the loop of `pools.core.supervisor`. Here it sleeps in a selector: on every worker's results and
  death, on its bell, until the next deadline. It pumps after results.
* **A starter thread** lives while workers are being started, which can take tens of milliseconds.

A worker's ``hand`` is what was sent to it and has not come back, in order: the first runs, the others lie in its
socket, or have been read and wait behind it. How many that may be follows from how long jobs take (`rules.prefetch`).
What has not begun can be taken back (`steal.py`): to cancel it, to give it to a worker that is idle while this one
is busy, and when the worker has died.

Who is to blame when a worker dies: the page names the job it began last. If that one's result has not come, it is
``CRASHED``, alone: the outcomes of those before it are in the socket or in the log that the worker shares. Jobs after
it never began: they go back into the queue, unmarked. Nobody is blamed if the job had come back, or had been settled.
"""

from __future__ import annotations

import os
import selectors
import signal
import threading
from contextlib import suppress
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.errors import WorkerCrashed
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.job_errors import forked_error
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job
from steadypool.pools.core.workers import WorkerFacts
from steadypool.pools.processes import import_guard
from steadypool.pools.processes.after_fork import forget_process
from steadypool.pools.processes.chunk import Chunk
from steadypool.pools.processes.ipc.exceptions import unpack_error
from steadypool.pools.processes.ipc.oom import oom_kills
from steadypool.pools.processes.ipc.wire import ITEMS_MOST, LOADING, can_keep_packets
from steadypool.pools.processes.shutdown import FarewellWorkers
from steadypool.pools.processes.start_failures import as_refusal, check_descriptors, close_lost_pipes, other_context
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_args import hold_standard_descriptors
from steadypool.pools.threads.nested_waits import PlainWaits
from steadypool.pools.threads.worker import JobRunner
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.rules.respawn import restart_delay

HEAR_SECONDS = 0.1
"""How long what has come may be read before limits are looked at."""
RESIZE_AFTER = 0.02
"""Seconds until workers too many leave: starting one is dear, and the next resize may want it again."""
UNGUARDED = (
    ' (workers import the main module: what starts a pool must stand under `if __name__ == "__main__":` there, or in a '
    "function, and not in the body of a module that it imports, or else each worker begins to start workers of its own)"
)
_MAY_RETRY = (PoolState.OPEN, PoolState.DRAINING)


class ProcessWorkers(FarewellWorkers):
    """The books and the control plane of a pool of processes."""

    kind = "processes"

    def __init__(self, settings: Settings, max_workers: int, context: BaseContext, kit: dict[str, Any]) -> None:
        hold_standard_descriptors()  # first: the bell of the core is a pipe
        super().__init__(settings, max_workers, can_keep_packets() and not kit.pop("without_packets", False))
        self.waits = PlainWaits(self.core)
        self.sent = self
        self.workers: set[ProcessWorker] = set()
        self.stuck: dict[Any, Job] = {}
        self.restarts = 0
        self._vacated: list[int] = []
        """Places whose workers died and that no other has yet: how many each has lost."""
        self._context = context
        self.functions.to_forks = context.get_start_method() == "fork"
        self._kit = kit
        # A worker that is to end after so many jobs looks at their number between packets; and what is pushed out of a
        # full queue is one job.
        wears_out = kit["max_tasks"] is not None or kit["max_memory"] is not None
        self.takes_chunks = not wears_out and settings.on_full != "discard_oldest"
        self.takes_bundles = self.packets and not wears_out
        self._starter = CallbackThread(f"{self.core.name}-starter", lambda: None)
        self._early_deaths = 0
        self._holding = self._once_ready = False
        self._held_for: float | None = 0.0
        self._is_default = kit.pop("default_context", False)
        self._resize_planned = False
        self._numbers = iter(range(1 << 62))
        self._reading = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._rung = False
        self._selector.register(self.bell.fd, selectors.EVENT_READ, self._was_rung)
        self._oom_kills = oom_kills()

    # -- the supervisor's rest

    def rest(self, until: float | None) -> None:
        """Wait for results, deaths or the bell, until *until* at most, and deal with what comes."""
        if not self._reading.acquire(blocking=False):
            # Another thread is at it, and held up: see `pools.core.supervisor`.
            self.core.closed.wait(0.02)
            return
        try:
            self._rung = False
            # Results alone give the control plane nothing to do: whatever makes something due rings.
            while self._wait_once(until) and not self._rung and self.core.state is PoolState.OPEN:
                if until is not None and until <= monotonic():
                    return
        finally:
            self._reading.release()

    def hear_all(self) -> None:
        """See `Workers.hear_all`. Not the bell: what it was rung for is still to be done."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            until = monotonic() + HEAR_SECONDS
            while not self._gone.is_set() and monotonic() < until:
                came = [key for key, _ in self._selector.select(0) if key.fd != self.bell.fd]
                if not came:
                    return
                for key in came:
                    key.data()
        finally:
            self._reading.release()

    def _wait_once(self, until: float | None) -> bool:
        """Deal with what comes next; false if nothing came until *until*."""
        came = self._selector.select(None if until is None else max(0.0, until - monotonic()))
        fault: Exception | None = None
        for key, _ in came:
            try:
                key.data()
            except Exception as error:
                fault = error  # impossible; the other workers have a right to be heard all the same
        if fault is not None:
            raise fault
        return bool(came)

    def _was_rung(self) -> None:
        self._rung = True
        self.bell.heard()

    # -- workers come and go

    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""
        self.available_workers = tuple(worker for worker in self.workers if not worker.retiring and not worker.dead)
        self.may_grow = (
            len(self.available_workers) < self.core.max_workers and not self._holding and self.refusal_is_soft()
        )

    def refusal_is_soft(self) -> bool:
        """Whether there may still be jobs to run."""
        return self.core.state is not PoolState.CLOSED and self.core.broken_by is None

    def _new_worker(self) -> ProcessWorker | None:
        with self.core.lock:
            if not self.may_grow:
                return None
            self.supervision.need_supervisor()
            try:
                worker = ProcessWorker(f"{self.core.name}_{next(self._numbers)}", self.packets)
            except OSError as error:
                self._try_later(error)
                return None
            worker.refused = import_guard.refusal()
            worker.restarts = self._vacated.pop() if self._vacated else 0
            self.workers.add(worker)
            self.recount()
        try:
            self._starter.run(partial(self._start, worker))
        except BaseException:
            self.was_interrupted()
            raise
        return worker

    def see_to_new_workers(self) -> None:
        """See `DispatchWorkers.see_to_new_workers`."""
        with self.core.lock:
            self.recount()
            waiting = [worker for worker in self.available_workers if not worker.start_began]
        for worker in waiting:
            self._starter.run(partial(self._start, worker))

    def _start(self, worker: ProcessWorker) -> None:
        """On the starter thread."""
        with self._spawning:
            if worker.dead or worker.start_began or self._gone.is_set():
                return
            worker.start_began = True
            if worker.refused is not None:
                self._could_not_start(worker, worker.refused)
                return
            try:
                self._selector.register(worker.results, selectors.EVENT_READ, partial(self._results_came, worker))
                check_descriptors()
                worker.start(self._context, {"pool": self.core.name, **self._kit})
                watch = partial(self._worker_died, worker)
                self._selector.register(worker.death_watch(), selectors.EVENT_READ, watch)
            except Exception as error:
                self._could_not_start(worker, error)
                return
        self.bell.ring()

    def _could_not_start(self, worker: ProcessWorker, error: Exception) -> None:
        close_lost_pipes(error)
        worker.refusal = as_refusal(error)
        if worker.refusal is None:
            # An initializer that cannot be pickled, say, or this process is a worker that imports something.
            self._broke(error, "no worker could be started")
        elif self._is_default and (other := other_context(self._context, error)) is not None:
            self._context = other
        if worker.started:
            worker.kill()  # it cannot be watched
        with self.core.lock:
            self.core.timers.add(monotonic(), self._worker_died, worker)
        self.bell.ring()

    def _initializer_failed(self, worker: ProcessWorker, packed: bytes) -> None:
        """In the first worker, that breaks the pool. Later it is tried again, for ever if other workers live."""
        with self.core.lock:
            worker.broken = True
            delay = self._try_later(None) if self._once_ready else None
        load = partial(self._note_initializer, worker, packed, delay is None)
        self.core.user_calls.send(self.loader, load, "loading what an initializer raised")

    def _note_initializer(self, worker: ProcessWorker, packed: bytes, breaks: bool) -> None:
        """On the loader's thread."""
        error = unpack_error(packed)
        if breaks:
            self._broke(error)
        else:
            self.core.ledger.add(worker.name, "initializer", error, describe=self.core.user_calls.describe)

    def _try_later(self, why: BaseException | None) -> float | None:
        """Another worker is not to be had now: try again after a while, or never (``None``) if that has lasted.

        The lock is held.
        """
        if self._holding:
            return self._held_for  # many that were started together have failed together: that counts once
        self._early_deaths += 1
        # One that has only just started may die in the same way; but it has been granted by the system.
        was_refused = why is not None and not isinstance(why, WorkerCrashed)
        others = [worker for worker in self.workers if not worker.dead and not worker.left]
        lives = any(worker.ready or (was_refused and worker.started) for worker in others)
        delay = restart_delay(self._early_deaths, others_live=lives, once_ready=self._once_ready)
        if isinstance(why, WorkerCrashed) and why.exitcode == import_guard.UNGUARDED_EXIT and not self._once_ready:
            delay = None  # the main module will start a pool each time that it is imported
        self._holding, self._held_for = True, delay
        if delay is None:
            if why is None:
                return None
            self.core.timers.add(monotonic(), self._give_up_on_workers, why)
        else:
            self.core.timers.add(monotonic() + delay, self._stop_holding)
        self.recount()
        self.bell.ring()
        return delay

    def _give_up_on_workers(self, why: BaseException) -> None:
        if isinstance(why, WorkerCrashed):
            self._broke(why, f"its workers died before they were ready{_hint(why)}")
        else:
            self._broke(why, "no worker process could be started")

    def _worker_is_ready(self, worker: ProcessWorker, thread_ident: int) -> None:
        worker.wait_until_known()  # or a job's result could be out before the pid of its worker
        worker.thread_ident = thread_ident
        worker.ready = self._once_ready = True
        self._early_deaths = 0
        if self.core.emitter.sinks:
            self.core.emitter.emit(events.WorkerStarted(self.core.name, monotonic(), worker.name))
        for job in worker.running():
            job._began = monotonic()

    def retire(self, worker: ProcessWorker, reason: str) -> None:
        """The worker takes no more: what lies in its socket goes to others, and it leaves."""
        with self.core.lock:
            if worker.retiring:
                return
            worker.retiring = True
            self.recount()
        self.take_back(worker)
        self.withhold(worker)
        worker.end_line()
        self.full = False
        if len(self.core.queue) or (reason == "worn out" and self.core.state is PoolState.OPEN):
            self._new_worker()  # now, not when it is needed: starting takes a while
        self.pump()

    def resize(self, max_workers: int) -> None:
        """See `ProcessPool.resize`."""
        with self.core.lock:
            if self.core.pid != os.getpid():
                raise forked_error(self.core)
            if self.core.state is PoolState.CLOSED:
                raise self.core.closed_error()
            self.core.max_workers = max_workers
            self.recount()
        if self.core.emitter.sinks:
            self.core.emitter.emit(events.CapacityChanged(self.core.name, monotonic(), max_workers, max_workers))
        with self.core.lock:
            if not self._resize_planned:
                self._resize_planned = True
                self.core.timers.add(monotonic() + RESIZE_AFTER, self._resized)
        self.full = False
        self.supervision.supervise()
        self.pump()
        self.bell.ring()

    def _resized(self) -> None:
        self._resize_planned = False
        for worker in self.available_workers:
            # Only what lies behind a job that has begun: or resizes in a row could keep any job from ever beginning.
            if (
                len(self.available_workers) > self.core.max_workers
                and worker.hand
                and worker.has_started(worker.hand[0])
            ):
                self.take_back(worker)
                self.withhold(worker)
            self._leave_if_surplus(worker)
        self.full = False
        self.pump()
        self.steal_for_idle()

    def retries_once_killed(self, job: Job) -> bool:
        """Kill the worker of a job that has a retry left, and did not heed its time limit: its death is the failure."""
        worker, error = job._worker, job._pending_error
        if not isinstance(worker, ProcessWorker) or job._told != "timeout" or self.core.state not in _MAY_RETRY:
            return False
        with self.core.lock:
            again = worker.running() == (job,) and error is not None and self.core.termination.may_retry(job, error)
        if again:
            self._kill(worker)  # the job stays in its hand, and is blamed for the death
        return again

    def give_up_on(self, worker: Any, job: Job) -> None:
        """Kill a worker that did not stop in its grace; another takes its place."""
        with self.core.lock:
            if worker.taken is not job or worker.left:
                return
            if isinstance(worker, JobRunner):
                worker.left = True
                self.stuck[worker] = job  # a caller's own thread: nobody can kill that
                return
        self._kill(worker)

    def _kill(self, worker: ProcessWorker) -> None:
        with self.core.lock:
            worker.left = worker.retiring = True
            self.recount()
        self.take_back(worker)
        worker.kill()
        self.full = False
        self.pump()

    def _worker_died(self, worker: ProcessWorker) -> None:
        """The process is dead: settle what it is to blame for, and give the rest to others."""
        if worker.dead:
            return
        worker.take_terminal_back()
        for frame in worker.read_last_results():
            self._frame_came(worker, *frame)
        self.take_gathered(worker)
        self._unwatch(worker.results)
        if worker.started:
            self._unwatch(worker.death_watch())
        self.take_back(worker)
        with self.core.lock:
            worker.dead = True
            # At once: a pump would go on offering it jobs, for ever if its thread holds this lock.
            self.available_workers = tuple(other for other in self.available_workers if other is not worker)
            if worker.hand and isinstance(worker.hand[0], Chunk):
                self.unfold(worker.hand[0])
            hand: list[Any] = list(worker.hand)
            worker.hand.clear()
            worker.taken = None
            self.take_off(worker)
            self.stuck.pop(worker, None)
            blamed = self._blamed(worker, hand)
            for job in hand[len(blamed) :]:
                job.attempts -= 1
                self.requeue(job)
        error = self._crash_error(worker) if blamed or not worker.ready else None
        for job in blamed:
            assert error is not None
            self.core.run_times.add(monotonic() - job._began, task=job._task_name)
            self.core.settlement.attempt_raised(
                job, error if len(blamed) == 1 else self._crash_error(worker), Outcome.CRASHED
            )
        if self.core.emitter.sinks:
            reason = "killed" if worker.left else "retired" if worker.retiring else "died"
            self.core.emitter.emit(events.WorkerEnded(self.core.name, monotonic(), worker.name, reason))
        self._replace(worker, error)
        self.inherit_from(worker)
        if self.core.broken_by is not None:
            self.core.fail_waiting()
        worker.close()

    def _blamed(self, worker: ProcessWorker, hand: list[Job]) -> list[Job]:
        """The job that died with the worker: the one it ran."""
        began = worker.page.running()
        if began % ITEMS_MOST == LOADING:
            # One of the chunk's items killed it by being read, but which? All go back, each for itself.
            began -= ITEMS_MOST
        return [job for job in hand if job._serial <= began]  # serials grow, so these are the first ones

    def _crash_error(self, worker: ProcessWorker) -> WorkerCrashed:
        if worker.refusal is not None:
            error = WorkerCrashed(f"no worker process could be started: {worker.refusal}")
            error.__cause__ = worker.refusal
            return error
        code = worker.exitcode()
        name = None
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
        stack, where = worker.last_stack()
        oom = self._oom_moved() if name == "SIGKILL" else None
        how = f"was killed by {name}" if name else f"ended with exit code {code}" if code is not None else "died"
        why = " (the kernel's out-of-memory counter moved)" if oom else ""
        while_doing = "while it ran this job" if worker.ready else "before it was ready"
        message = f"worker process {worker.pid} {how} {while_doing}{why}{worker.unfit and f': {worker.unfit}'}"
        if stack:
            message += f"\nIt was here:\n{stack.rstrip()}"
        error = WorkerCrashed(message, pid=worker.pid, exitcode=code, signal_name=name, stack=stack, oom=oom)
        error.steadypool_where = where  # type: ignore[attr-defined]
        return error

    def _oom_moved(self) -> bool | None:
        before, self._oom_kills = self._oom_kills, oom_kills()
        return None if before is None or self._oom_kills is None else self._oom_kills > before

    def _replace(self, worker: ProcessWorker, error: WorkerCrashed | None) -> None:
        with self.core.lock:
            if not worker.retiring or worker.left:
                self.restarts += 1
                self._vacated.append(worker.restarts + 1)
            delay: float | None = 0.0
            if worker.broken:
                error = None  # see `_initializer_failed`
            elif not worker.ready and not worker.retiring and self.refusal_is_soft() and error is not None:
                delay = self._try_later(worker.refusal or error)
            self.recount()
        if delay == 0.0 and self.core.state is PoolState.OPEN and (worker.left or error is not None):
            self._new_worker()  # now, not when it is needed. (Not for one that died idle: that could go on for ever.)
        self.full = False
        self.pump()
        if self.core.state is not PoolState.OPEN:
            self.bell.ring()

    def _stop_holding(self) -> None:
        with self.core.lock:
            self._holding = False
            self.recount()
        self.full = False
        self.pump()
        self.steal_for_idle()  # what lies behind the jobs of the workers that live

    def _broke(self, error: BaseException, how: str = "the initializer failed") -> None:
        self.core.broke(error, how)
        with self.core.lock:
            self.recount()

    def _unwatch(self, what: Any) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(what)

    # -- what the control plane asks

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        worker = job._worker
        if worker is None or isinstance(worker, JobRunner):
            return super().take_from_worker(job)
        with self.core.lock:
            # It may have begun while the result of the one before has not been read yet.
            runs = worker.running() == (job,) or worker.has_started(job)
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            if runs:
                worker.taken_name = job._task_name
                worker.taken_arguments = self.core.user_calls.plain_arguments_of(job)
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
        if ends is None or timeout is None or ends > now or isinstance(worker, JobRunner):
            return ends
        job._attempt_ends = (worker.page.began() if worker.has_started(job) else now) + timeout
        return job._attempt_ends

    def jobs_with_limits(self) -> list[Job]:
        """The jobs in workers' hands whose attempts have a time limit: those of no chunk do."""
        with self.core.lock:
            workers: list[Any] = [*self.workers, *self.callers]
        return [job for worker in workers for job in worker.running() if job._attempt_ends is not None]

    def all_idle(self) -> bool:
        """Whether no worker holds a job. The lock is held."""
        return not self.callers and not any(worker.hand for worker in self.workers)

    def places(self) -> int:
        """How many jobs can run at a time: a worker that does not stop is killed and replaced."""
        return self.core.max_workers

    def worker_facts(self) -> WorkerFacts:
        """What `PoolStats` says of the workers. The lock is held."""
        return {
            "stuck": len(self.stuck),
            "workers": len(self.available_workers),
            "capacity": self.core.max_workers,
            "restarts": self.restarts,
            "worker_rows": tuple(worker.row() for worker in sorted(self.available_workers, key=lambda w: w.name)),
        }

    def has_begun(self, job: Job) -> bool:
        """See `primitives.future.Owner`: a job that was sent to a process may be taken back until it is read."""
        with self.core.lock:
            worker = job._worker
            return not isinstance(worker, ProcessWorker) or job not in worker.hand or worker.has_read(job)

    # -- the end

    def has_workers(self) -> bool:
        """Whether any worker lives."""
        return bool(self.workers)

    def wake_all_workers(self) -> None:
        """The pool is closed: have every worker leave."""
        with self.core.lock:
            self.recount()
            workers = list(self.workers)
        for worker in workers:
            worker.end_line()

    def join(self, until: float | None) -> None:
        """Wait for the workers to have left; after *until*, see them off here."""
        if not self._gone.wait(None if until is None else max(0.0, until - monotonic())):
            self.leave_now()
            with self.core.user_calls.hurrying():
                self.shut_down_workers()
        self._starter.end()
        self.supervision.join(until)

    def after_fork(self) -> None:
        """In a forked child: the parent's ends must not stay open here, or the workers would outlive their parent."""
        super().after_fork()
        if self._gone.is_set():
            return
        for worker in self.workers:
            worker.after_fork()
            if worker.process is not None:
                forget_process(worker.process)
        self.bell.close()

    def pids(self) -> list[int]:
        """The processes of the workers that live."""
        with self.core.lock:
            return [worker.pid for worker in self.workers if worker.started and not worker.dead]


def _hint(error: WorkerCrashed) -> str:
    """What is likely behind workers that end before they are ready."""
    if error.exitcode == import_guard.UNGUARDED_EXIT:
        return UNGUARDED
    return ": an exception ended them, with a traceback on their stderr" if error.exitcode == 1 else ""
