"""What a pool of threads and a pool of processes have in common: how a job is taken on and how it ends.

Theory of operation
-------------------
Two planes. The **data plane** is submit → queue → worker → settle: it is written out in the drivers, takes no
lock on its plain path and calls nothing of this file unless something is out of the ordinary. The **control
plane** is here and in `supervisor.py`: time limits, cancels, retries, crashes, the drain. Everything it changes, it
changes under ``lock``; what it decides comes from `steadypool.rules`.

A job is in one place at a time (`primitives.job_queue` says how): the queue, a worker's *hand*, the agenda, or
settled. Taking it out is atomic and gives the sole right to move it on, so no job is ever settled twice.

Books: ``tickets`` counts what was accepted, a worker counts what succeeded in its hand, and everything else is
counted under ``lock`` before the future is settled. Readers take outcomes first and tickets last.

User code (tasks, callbacks, sinks, finalizers) never runs under ``lock`` by our own doing; the lock is reentrant
because the garbage collector may run a finalizer that submits, wherever it likes.
"""

from __future__ import annotations

import _thread
import logging
import os
import random
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures._base import PENDING
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steadypool.model.clock import monotonic, sleep
from steadypool.model.errors import PoolBroken, PoolClosed, QueueFull, SteadypoolError
from steadypool.model.lazy_events import events
from steadypool.model.lazy_reports import reports
from steadypool.model.options import Task, TaskOptions, task_name
from steadypool.model.states import NEVER_LOOKED_AT, Outcome, PoolState, move
from steadypool.pools.core.books import Returned, interrupted_row, read_stats
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.driver import Driver
from steadypool.pools.core.emitter import Emitter, job_facts
from steadypool.pools.core.forecast import Forecast
from steadypool.pools.core.functions import check_function, options_within
from steadypool.pools.core.job_errors import cancelled_error, forked_error, hint_at_option, presentable, timeout_error
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.user_calls import UserCalls
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.primitives.callback_thread import __file__ as courier_file
from steadypool.primitives.error_ledger import Ledger
from steadypool.primitives.future import JobFuture
from steadypool.primitives.job_queue import JobQueue
from steadypool.primitives.run_times import RunTimes
from steadypool.primitives.thread_stacks import thread_stack
from steadypool.primitives.timers import Timers
from steadypool.primitives.wakeup import Bell
from steadypool.rules.retry import delay_after

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport, InterruptedJob, JobFailure, PoolStats

Job = JobFuture[Any]


class Core(Driver):
    """The books and the control plane of one pool; a driver adds the workers.

    The pool object that users hold refers to its core, never the other way round: workers refer to the core,
    so that a pool nobody refers to any more can end.
    """

    _broken_how = ""

    def __init__(self, settings: Settings, max_workers: int) -> None:
        import_module("steadypool.model.reports")  # now: the first report may be made by a signal handler
        self.settings = settings
        self.name = settings.name
        self.options = settings.options
        self.lock = threading.RLock()
        self.bell = Bell()
        self.timers = Timers()
        self.supervisors: set[int] = set()
        """Threads that run the supervisor's loop now: usually one. No code of the user's runs there."""
        self.emitter = Emitter(self, self.mark_own_thread, self.supervisors)
        self.user_calls = UserCalls(settings, self.supervisors, self.mark_own_thread, self.call_later)
        self.max_workers = max_workers
        self.queue: JobQueue[Any] = JobQueue(sys.maxsize if settings.queue_size is None else settings.queue_size)
        self.state = PoolState.OPEN
        self.refusal: Callable[[], PoolClosed] | None = None
        """Makes the error for a submit; ``None`` while the pool takes jobs."""
        self.attention = False
        """Workers look at this between two jobs; true when the pool wants something of them."""
        self.counts = Counts(self.succeeded_in_workers)
        self.tickets = self.counts.tickets
        self.ledger = Ledger()
        self.run_times = RunTimes()
        self.forecast = Forecast(self)
        self._missing_since: float | None = None
        """Since when a ticket had no job anywhere."""
        self.next_wake = float("inf")
        """When the supervisor wakes by itself; a worker with an earlier deadline rings."""
        self.requests: deque[float | None] = deque()
        """Drains asked for, as seconds from when the request is seen."""
        self.deadline: float | None = None
        self.grace_ends: float | None = None
        self.drain_began = 0.0
        self.at_close: list[Callable[[], None]] = []
        """Called once the report is written, before whoever waits for it wakes. They must neither raise nor wait."""
        self.opening_maps: set[Any] = set()
        """Maps whose first window is not submitted yet, and that nobody has read: see `pools.executor.map_input`."""
        self.closed = threading.Event()
        self.report: DrainReport | None = None
        self.notes: list[str] = []
        """What the report says besides."""
        self.returned: list[Returned] = []
        self.interrupted: list[InterruptedJob] = []
        self.pid = os.getpid()
        self.opened = monotonic()
        self.may_grow = True
        """Whether another worker may be started."""
        self.supervised = False
        self.broken_by: BaseException | None = None

    # -- taking a job on

    def resolve(self, fn: Callable[..., Any]) -> tuple[Callable[..., Any], TaskOptions]:
        """What to run for *fn*, and its options over the pool's own.

        Raises:
            TypeError: if *fn* is nothing that a worker can run.
        """
        if type(fn) is Task:
            check_function(fn.fn)
            return fn.fn, fn.merged(self.options)
        check_function(fn)
        carried = options_within(fn)
        return fn, self.options if carried is None else carried.over(self.options)

    def enter(self, job: Job, *, has_room: bool = True) -> Job:
        """Take on a job that is not plain: it has a priority, a time limit, or gets in without room."""
        try:
            self.set_limits(job)
        except RuntimeError:
            if has_room:
                self.queue.give_room()
            raise
        if has_room and job._options.priority == 0:
            self.queue.items.append(job)
        else:
            self.queue.put_ranked(job, has_room=has_room)
        self.wake_worker_for(job)
        self.check_in(job)
        if self.emitter.sinks:
            self.emitter.emit_deferred(job)
        return job

    def enter_announced(self, job: Job) -> Job:
        """The same, with the event that it was submitted."""
        if self.emitter.sinks:
            self.emitter.defer_submitted(job)
        return self.enter(job)

    def wake_worker_for(self, job: Job) -> None:
        """Have a worker take the job that a submit has just put into the queue; if there can be none, take it back.

        Raises:
            RuntimeError, OSError: no worker can be started, and there is none.
        """
        try:
            self.wake_worker()
        except Exception as error:
            self.not_pumped(job, error)

    def not_pumped(self, job: Job, error: Exception) -> None:
        """A new job has reached the queue and not a worker. Take it back, and raise; unless another has taken it."""
        if self.queue.remove(job):
            self._drop_alarm(job)
            self.counts.withdraw()
            raise error

    def set_limits(self, job: Job) -> None:
        """Have the supervisor look after the job's time limits and retries, if it has any.

        Raises:
            RuntimeError: there is none, and no thread for one. The job's ticket was withdrawn.
        """
        total = job._options.total_timeout
        if total is not None or job._options.timeout is not None or job._options.retry is not None:
            try:
                self.need_supervisor()
            except RuntimeError:
                self.counts.withdraw()
                raise
        if total is not None:
            job._total_ends = job._submitted + total
            with self.lock:
                job._alarm = self.timers.add(job._total_ends, self._total_time_is_up, job)
            self._wake_before(job._total_ends)

    def discard(self, job: Job) -> None:
        """Settle a job that a newer one has pushed out of the full queue."""
        self.settle(job, Outcome.CANCELLED, cancelled_error(job, "cancelled"))

    def check_in(self, job: Job) -> None:
        """The last step of a submit: if the pool closed meanwhile, take the job back, if it is still here.

        Raises:
            PoolClosed: the job was not accepted.
        """
        refusal = self.refusal
        if refusal is None:
            return
        while not self.queue.remove(job):
            with self.lock:
                if self.state is not PoolState.CLOSED or job.outcome is not None:
                    return
            sleep(0)  # a worker has popped it, not put it into its hand yet, and returns it since the pool is closed
        self._drop_alarm(job)
        self.counts.withdraw()
        self.bell.ring()
        raise refusal()

    def submit_raised(self, error: BaseException) -> None:
        """Called when submit raises; for an asynchronous exception (Ctrl-C) it schedules a repair."""
        if not isinstance(error, SteadypoolError):
            self.was_interrupted()

    def was_interrupted(self) -> None:
        """An exception out of the blue (Ctrl-C) has ended something half-way: a driver may have to put things right."""

    def reject(self, fn: Callable[..., Any], options: TaskOptions, message: str) -> QueueFull:
        """Count a refused job and make the error."""
        with self.lock:
            self.counts.rejected += 1
        self.forecast.look()
        if self.emitter.sinks:
            self.emitter.emit(events.JobRejected(self.name, monotonic(), task_name(fn, options)))
        return QueueFull(message)

    # -- how a job ends

    def settle(self, job: Job, outcome: Outcome, error: BaseException | None = None, result: Any = None) -> None:
        """Settle a job that the caller has taken out of its place, and count it first."""
        started = job.attempts > 0
        with self.lock:
            self.counts.ended[outcome] += 1
            self._drop_alarm(job)
        failure = None
        try:
            if error is not None and outcome in NEVER_LOOKED_AT:
                failure = self._note_failure(job, outcome, error)
            if self.emitter.sinks:
                self.emitter.emit_end(job, outcome, error)
        except Exception as fault:
            # An exception or an argument with methods that raise where none should: no reason to leave the job hanging.
            self.user_calls.log("pool %r could not report the end of job %s", self.name, job.job_id, fault=fault)
        made_of = self.user_calls.made_of(job)
        job._settle(outcome, result, error, started=started or outcome not in _NEVER_STARTED)
        self.user_calls.free(job, made_of)
        if failure is not None:
            self.user_calls.deliver(partial(self._say_failure, failure), f"on_error, called for job {job.job_id}")
        if job._callbacks:
            self.call_back(job)
        if self.state is not PoolState.OPEN:
            self.bell.ring()

    def call_back(self, job: Job) -> None:
        """Run what was to be called once the job has ended."""
        self.user_calls.deliver(job._run_callbacks, f"a done-callback of job {job.job_id}")

    def _note_failure(self, job: Job, outcome: Outcome, error: BaseException) -> JobFailure | None:
        """Enter it into the ledger; returns it if somebody wants to hear of it."""
        name, arguments = job._task_name, self.user_calls.arguments_of(job)
        key = self.ledger.add(job.job_id, name, error, arguments, job.attempts, self.user_calls.describe)
        if self.settings.on_error is None or (group := self.ledger.group(key)) is None:
            return None
        facts = outcome, error, job.attempts, arguments, job._options.meta, group
        return reports.JobFailure(self.name, job.job_id, name, *facts)

    def _say_failure(self, failure: JobFailure) -> None:
        """Call ``on_error``. As with a callback, what it raises is logged, and ends nobody."""
        on_error = self.settings.on_error
        assert on_error is not None
        try:
            on_error(failure)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            logger = logging.getLogger("steadypool")
            logger.exception("on_error of pool %r raised for job %s", self.name, failure.job_id)

    def attempt_raised(self, job: Job, error: BaseException, outcome: Outcome = Outcome.FAILED) -> None:
        """An attempt ended with *error*; the caller has taken the job out of the worker's hand."""
        pending = job._pending_error
        worth = self.user_calls.is_worth_retrying_now(job, error if pending is None else pending)
        with self.lock:
            # In one piece with a tell: a cancel that comes while the job is between two places must not be lost.
            if job._pending_error is not pending:
                pending, worth = job._pending_error, False
            if pending is not None:
                pending.__cause__ = error
                error, outcome = pending, _OUTCOME_WHEN_TOLD[job._told or ""]
            delay = self._put_on_agenda(job, error) if worth and outcome not in _STOPPED else None
        if delay is None:
            if outcome is Outcome.INTERRUPTED:
                self.note_interrupted(job)
            hint_at_option(error, job)
            self.settle(job, outcome, presentable(error, job, self.user_calls.describe))
            return
        self.supervise()
        self.bell.ring()
        if self.emitter.sinks:
            self.emitter.emit_deferred(job)

    def _put_on_agenda(self, job: Job, error: BaseException) -> float | None:
        """Have the job run again, if its `Retry` says so; returns in how many seconds. The lock is held."""
        if job._options.retry is None or self.state in (PoolState.CANCELLING, PoolState.CLOSED):
            return None
        now = monotonic()
        delay = delay_after(job._options.retry, job.attempts, now, job._total_ends, random.random())
        if delay is not None:
            job._told = job._pending_error = job._stop_event = job._attempt_ends = None
            job._last_error = error
            job._state = PENDING
            self.counts.retrying += 1
            self.counts.retries += 1
            if self.emitter.sinks:
                self.emitter.defer_event(
                    job, events.JobRetryScheduled(self.name, now, *job_facts(job), error, delay, now - job._began)
                )
            job._entry = self.timers.add(now + delay, self._retry_is_due, job)
        return delay

    def _retry_is_due(self, job: Job) -> None:
        with self.lock:
            self.counts.retrying -= 1
            job._entry = None
            self.queue.put_ranked(job, has_room=False)
        with suppress(RuntimeError):
            self.wake_worker()  # no thread can be started now: the job stays in the queue for the next one

    def retrying_jobs(self) -> list[Job]:
        """The jobs between two attempts."""
        with self.lock:
            return [args[0] for args in self.timers.planned(self._retry_is_due)]

    def take_from_agenda(self, job: Job) -> bool:
        """Take a job that waits for its next attempt; false if it does not."""
        with self.lock:
            if not self.timers.drop(job._entry):
                return False
            job._entry = None
            self.counts.retrying -= 1
            return True

    def _drop_alarm(self, job: Job) -> None:
        if job._alarm is not None:
            with self.lock:
                self.timers.drop(job._alarm)
                job._alarm = None

    # -- cancelling

    def cancel(self, job: Job, running: bool, cause: str = "cancelled") -> bool:
        """See `JobFuture.cancel`."""
        told: bool | float = False
        with self.lock:
            # In one piece: a failed attempt goes from its worker to the agenda under the same lock.
            taken = self.queue.remove(job) or self.take_from_agenda(job) or self.reclaim(job)
            if running and not taken:
                told = self._note_told(job, cause, cancelled_error(job, cause))
        if taken:
            self.settle(job, Outcome.CANCELLED, cancelled_error(job, cause))
            return True
        return self._told(job, cause, told) if running else job.cancelled()

    def cancel_from_outside(self, job: Job) -> None:
        """Have a job cancelled, one that runs too, by a thread that must run no code of the user's."""
        with self.user_calls.hurrying():
            self.cancel(job, True)

    def tell(self, job: Job, cause: str, error: BaseException) -> bool:
        """Tell a started attempt to stop; *error* is what it counts as unless it returns within the grace.

        A job between the queue and its worker's hand is told as well: the worker looks before it starts.
        """
        with self.lock:
            told = self._note_told(job, cause, error)
        return self._told(job, cause, told)

    def _note_told(self, job: Job, cause: str, error: BaseException) -> bool | float:
        """Tell it, and return when its grace ends; false if it has ended, true if it was told before. Locked."""
        if job.outcome is not None:
            return False
        if job._told is not None:
            return True
        job._pending_error = error
        self.stop_attempt(job, cause)
        now = monotonic()
        ends = now + self.settings.cancel_grace
        self.timers.add(ends, self._grace_is_over, job, job.attempts)
        if self.emitter.sinks:
            self.emitter.defer_event(job, events.JobStopRequested(self.name, now, *job_facts(job), cause))
        return ends

    def _told(self, job: Job, cause: str, ends: bool | float) -> bool:
        if isinstance(ends, bool):
            return ends
        self.supervise()
        self._wake_before(ends)
        if self.emitter.sinks:
            self.emitter.emit_deferred(job)
        return True

    def _grace_is_over(self, job: Job, attempt: int) -> None:
        if job.attempts == attempt:
            self.give_up_job(job)

    def give_up_job(self, job: Job) -> None:
        """The grace is over: settle the job if that is not done, and part with its worker if it still runs it."""
        worker = job._worker
        if worker is None or not self.still_runs(worker, job):
            return
        taken = self.take_from_worker(job)
        if not taken and job.outcome is None:
            return  # it has just ended by itself
        self.give_up_on(worker, job)
        if taken:
            outcome = _OUTCOME_WHEN_TOLD[job._told or ""]
            if outcome is Outcome.INTERRUPTED:
                self.note_interrupted(job)
            self.settle(job, outcome, job._pending_error)

    def note_interrupted(self, job: Job) -> None:
        """Remember the job for the drain report."""
        self.interrupted.append(interrupted_row(self, job, monotonic() - job._began))

    # -- time limits

    def _total_time_is_up(self, job: Job) -> None:
        job._alarm = None
        if self.queue.remove(job) or self.take_from_agenda(job) or self.reclaim(job):
            self.settle(job, Outcome.TIMED_OUT, timeout_error(job, "total_timeout", ""))
        elif self.holds(job):
            self.attempt_time_is_up(job, "total_timeout")
        elif job.outcome is None:
            # Between two places for a moment: look again rather than lose the limit.
            with self.lock:
                job._alarm = self.timers.add(monotonic() + 0.001, self._total_time_is_up, job)

    def attempt_time_is_up(self, job: Job, limit: str = "timeout") -> None:
        """The running attempt has reached its limit: tell it, take its stack, settle unless a retry is left."""
        worker = job._worker
        stack, where = self.stack_of(worker, job)
        self.hear_all()  # it may have ended meanwhile
        error = timeout_error(job, limit, stack)
        error.steadypool_where = where  # type: ignore[attr-defined]
        if limit == "timeout" and self._may_retry(job, error):
            with self.lock:
                if not self.holds(job):
                    return  # it has just ended by itself: what follows is not this attempt
                job._attempt_ends = None
                told = self._note_told(job, "timeout", error)
            self._told(job, "timeout", told)
            return
        with self.lock:
            if not self.holds(job):
                return
            told_before = job._told is not None
            if not told_before:
                # Should the job end between these lines by raising, it counts as this, not as its own failure.
                job._pending_error = error
                self.stop_attempt(job, "timeout")
                now = monotonic()
                self.timers.add(now + self.settings.cancel_grace, self._grace_is_over, job, job.attempts)
                if self.emitter.sinks:
                    self.emitter.defer_event(job, events.JobStopRequested(self.name, now, *job_facts(job), "timeout"))
            taken = self.take_from_worker(job)
        if not taken:
            return
        self.run_times.add(monotonic() - job._began, task=job._task_name)
        self.settle(job, Outcome.TIMED_OUT, error)

    def _may_retry(self, job: Job, error: BaseException) -> bool:
        if not self.user_calls.is_worth_retrying_now(job, error):
            return False
        now = monotonic() + self.settings.cancel_grace
        return delay_after(job._options.retry, job.attempts, now, job._total_ends, 0.0) is not None

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Have the supervisor call *action* in so many seconds."""
        with self.lock:
            self.timers.add(monotonic() + seconds, action)
        self.bell.ring()

    def _wake_before(self, moment: float) -> None:
        if moment < self.next_wake:
            self.bell.ring()

    # -- books

    def all_ended(self) -> bool:
        """Whether every accepted job has its outcome. Only asked when no new job can come."""
        with self.lock:
            # First: what ends between the two looks would be missing from both.
            idle = not self.counts.retrying and not len(self.queue) and self.all_idle()
            if sum(self.counts.outcomes().values()) == self.counts.accepted():
                return True
            if not idle:
                self._missing_since = None
                return False
            # A ticket without a job anywhere: on its way to the queue, or out of it in the hands of a cancel; that is a
            # matter of microseconds. Or its submit was interrupted (Ctrl-C), and there is no job.
            now = monotonic()
            self._missing_since = self._missing_since or now
            if now < self._missing_since + PATIENCE:
                self.timers.add(now + 0.001, self._look_again)
                return False
            return True

    def _look_again(self) -> None:
        """On the agenda: has woken the supervisor."""

    def waiting_tasks(self) -> Counter[str]:
        """How many jobs of each task wait for a worker or their next attempt; of very many, an even selection."""
        retrying = self.retrying_jobs() if self.counts.retrying else ()
        return Counter(job._task_name for job in (*self.queue.some(MOST_COUNTED), *retrying))

    def stats(self) -> PoolStats:
        """See `Watched.stats`."""
        return read_stats(self)

    def oldest_submits(self) -> list[float]:
        """When some of the jobs that wait were submitted, the oldest among them."""
        return self.queue.oldest_submits()

    # -- the pool is broken

    def broke(self, error: BaseException, how: str = "the initializer failed") -> None:
        """There can be no workers: the pool takes no more jobs and fails what waits. Once, and clearly."""
        said = self.user_calls.repr_of(error)
        with self.lock:
            if self.broken_by is None:
                self._broken_how = f"{how}: {said}"
                self.broken_by = error
        self.refusal = self._broken_error
        self.request_drain(None)
        self.queue.open_all_gates()
        self.fail_waiting()

    def take_waiting(self) -> Job | None:
        """Take the job that is next in the queue, to settle it without running it; ``None`` if there is none."""
        return self.queue.take()

    def fail_waiting(self) -> None:
        """The pool is broken: nobody will ever run what waits."""
        while (job := self.take_waiting()) is not None:
            self.settle(job, Outcome.FAILED, self._broken_error())

    def _broken_error(self) -> PoolBroken:
        how = self._broken_how
        error = PoolBroken(f"cannot schedule new futures: pool {self.name!r} is broken, {how}")
        error.__cause__ = self.broken_by
        return error

    # -- the end

    def request_drain(self, seconds: float | None) -> None:
        """Have a drain begin. Takes no lock, so that a signal handler or a finalizer may call it."""
        if self.pid != os.getpid():
            return
        self.close_intake()
        self.requests.append(seconds)
        if self.supervised:
            self.bell.ring()
            return
        # Starting a `threading.Thread` takes locks that the interrupted code may hold; this does not.
        with suppress(RuntimeError):  # no thread to be had at interpreter exit: whoever waits will supervise
            _thread.start_new_thread(self._start_supervising, ())

    def close_intake(self) -> None:
        """Take no more jobs, from this moment: the supervisor moves the state a little later."""
        self.refusal = self.refusal or self.closed_error

    @property
    def public_state(self) -> PoolState:
        """The state to show: draining from the moment a drain was asked for, since jobs are refused from then on."""
        state = self.state
        asked = state is PoolState.OPEN and self.refusal == self.closed_error
        return PoolState.DRAINING if asked else state

    def _start_supervising(self) -> None:
        self.supervise()
        self.bell.ring()

    def abandon(self) -> None:
        """Nobody refers to the pool any more: run what it has, and end."""
        if self.has_workers() and self.state is PoolState.OPEN and self.pid == os.getpid():
            self.request_drain(None)

    def wait_for_report(self, timeout: float | None) -> DrainReport:
        """Wait until the pool is closed, *timeout* and the grace at most, and return its report."""
        # A limit that no clock can count to is none.
        seconds = threading.TIMEOUT_MAX if timeout is None else timeout + self.settings.cancel_grace
        limit = None if seconds >= threading.TIMEOUT_MAX / 2 else monotonic() + seconds
        self.supervise()
        if not self.supervised:
            self.supervise_here()
        if not self.closed.wait(None if limit is None else max(0.0, limit + SLACK - monotonic())):
            self.emitter.silence()  # one of them may be what holds the supervisor up
            self.supervise_here()
        until = None if limit is None else max(limit, monotonic()) + SLACK
        self.join(until)
        for callback_thread in (*self.user_calls.couriers, self.emitter.messenger):
            callback_thread.end()
            callback_thread.wait_idle(None if until is None else max(0.0, until - monotonic()))
            self._note_late(callback_thread)
        assert self.report is not None
        if self.notes:
            self.report = replace(self.report, notes=tuple(self.notes))
        return self.report

    def _note_late(self, callback_thread: CallbackThread) -> None:
        for late in callback_thread.late():
            self.note_thread(f"{late.about} has not ended after {late.seconds:.1f} s", late.thread)

    def note_thread(self, what: str, ident: int | None) -> None:
        """Say in the report what a thread still does."""
        stack, _ = thread_stack(ident, courier_file)
        self.notes.append(f"{what}; it is here:\n{stack.rstrip()}" if stack else what)

    def after_fork(self) -> None:
        """In a forked child: no lock can be trusted, no worker exists; refuse everything from now on."""
        self.lock = threading.RLock()
        self.ledger.renew_lock()
        self.user_calls.renew_threads()
        # The jobs are the parent's: here they must neither run nor be settled.
        self.queue = JobQueue(1)
        self.timers = Timers()
        self.counts.after_fork()
        self.emitter.after_fork()
        self.may_grow = False
        self.refusal = lambda: forked_error(self)

    # -- states

    def move_to(self, state: PoolState) -> None:
        """Make a legal move. The lock is held."""
        self.state = move(self.state, state)

    def rest(self, until: float | None) -> None:
        """See `Driver.rest`."""
        self.bell.wait(until)

    def is_closed(self) -> bool:
        """Whether every job has its outcome."""
        return self.state is PoolState.CLOSED

    def closed_error(self) -> PoolClosed:
        """What a submit to this pool gets once it takes no more jobs."""
        if self.broken_by is not None:
            return self._broken_error()
        state = self.public_state.value
        return PoolClosed(f"cannot schedule new futures after shutdown: pool {self.name!r} is {state}")


MOST_COUNTED = 2000
"""Jobs of the queue that are looked at to learn of which tasks they are: that takes a millisecond."""

SLACK = 0.1
"""Seconds beyond its limit after which a drain stops relying on its supervisor and does the work itself."""

PATIENCE = 0.1
"""Seconds that a drain waits for a job that is between two places in some other thread."""


_NEVER_STARTED = frozenset({Outcome.CANCELLED, Outcome.RETURNED})
_STOPPED = frozenset({Outcome.CANCELLED, Outcome.INTERRUPTED})
_OUTCOME_WHEN_TOLD = {
    "timeout": Outcome.TIMED_OUT,
    "cancelled": Outcome.CANCELLED,
    "shutdown": Outcome.INTERRUPTED,
    "lease_lost": Outcome.CANCELLED,
}
"""How an attempt ends that was told to stop and did not return, by the cause it was told."""
