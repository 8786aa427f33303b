"""What all pools have in common, in parts, and how a pool ends.

Theory of operation
-------------------
Two planes. The **data plane** is submit → queue → worker → settle: it is written out for each kind of worker,
takes no lock on its plain path and calls nothing of these parts unless something is out of the ordinary. The **control
plane** is in them and in `supervisor.py`: time limits, cancels, retries, crashes, the drain. Everything it changes, it
changes under ``lock``; what it decides comes from `steadypool.rules`.

A job is in one place at a time (`primitives.job_queue` says how): the queue, a worker's *hand*, the timers, or
settled. Taking it out is atomic and gives the sole right to move it on, so no job is ever settled twice.

Books: ``tickets`` counts what was accepted, a worker counts what succeeded in its hand, and everything else is
counted under ``lock`` before the future is settled. Readers take outcomes first and tickets last.

User code (tasks, callbacks, sinks, finalizers) never runs under ``lock`` by our own doing; the lock is reentrant
because the garbage collector may run a finalizer that submits, wherever it likes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.errors import QueueFull
from steadypool.model.lazy_module import events
from steadypool.model.options import TaskOptions, task_name
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.admission import Admission
from steadypool.pools.core.books import Books
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.emitter import Emitter
from steadypool.pools.core.forecast import Forecast
from steadypool.pools.core.job_errors import forked_error
from steadypool.pools.core.limits import Limits
from steadypool.pools.core.reconcile import Reconciler
from steadypool.pools.core.retries import Retries, Waiting
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.settlement import Settlement
from steadypool.pools.core.shared import Job, Shared, Wakeup
from steadypool.pools.core.termination import Termination
from steadypool.pools.core.user_calls import UserCalls
from steadypool.pools.core.workers import Workers
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.primitives.callback_thread import __file__ as callback_thread_file
from steadypool.primitives.job_queue import JobQueue
from steadypool.primitives.thread_stacks import thread_stack
from steadypool.primitives.timers import Timers

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport, PoolStats

SLACK = 0.1
"""Seconds beyond its limit after which a drain stops relying on its supervisor and does the work itself."""

PATIENCE = 0.1
"""Seconds that a drain waits for a job that is between two places in some other thread."""


class Core(Shared):
    """The parts of one pool, and its end. Its kind of worker is ``workers``.

    The pool object that users hold refers to its core, never the other way round: workers refer to the core,
    so that a pool that is no longer referenced can end.
    """

    def __init__(self, settings: Settings, max_workers: int, workers: Workers, bell: Wakeup) -> None:
        import_module("steadypool.model.reports")  # now: the first report may be made by a signal handler
        super().__init__(settings, max_workers, bell)
        self.workers = workers
        self.counts = Counts(workers.succeeded_in_workers)
        self.tickets = self.counts.tickets
        self.emitter = emitter = Emitter(self, self.mark_own_thread, self.supervisors)
        self.user_calls = calls = UserCalls(settings, self.supervisors, self.mark_own_thread, self.call_later)
        self.limits = Limits(self, workers)
        self.retries = Retries(self, self.counts, self.limits, workers.wake_worker)
        waiting = Waiting(self.retries, self.limits)
        self.settlement = Settlement(self, self.counts, emitter, calls, waiting, workers)
        self.ledger = self.settlement.ledger
        self.termination = Termination(self, self.settlement, emitter, calls, self.retries, workers)
        self.admission = Admission(self, self.counts, emitter, self.settlement, self.termination, workers)
        self.reconciler = Reconciler(self, self.counts, workers)
        self.books = Books(self, self.counts, emitter, waiting, workers)
        self.forecast = Forecast(self, emitter, lambda: self.stats().drain_estimate)
        self._missing_since: float | None = None
        """Since when a ticket had no job anywhere."""
        self.requests: deque[float | None] = deque()
        """Drains asked for, as seconds from when the request is seen."""
        self.deadline: float | None = None
        self.grace_ends: float | None = None
        self.drain_began = 0.0
        self.at_close: list[Callable[[], None]] = []
        """Called once the report is written, before its waiters wake. They must neither raise nor wait."""
        self.opening_maps: set[Callable[[], None]] = set()
        """How to wait for maps whose first window is not submitted yet, and that are unread."""
        self.closed = threading.Event()
        self.report: DrainReport | None = None
        self.notes: list[str] = []
        """What the report says besides."""
        self.was_abandoned = False
        """It was open when the program lost its last reference to the pool."""

    # -- what futures and sinks ask of their pool

    def stats(self) -> PoolStats:
        """See `Watched.stats`."""
        return self.books.stats()

    def cancel(self, job: Job, running: bool, cause: str = "cancelled") -> bool:
        """See `JobFuture.cancel`."""
        return self.termination.cancel(job, running, cause)

    def has_begun(self, job: Job) -> bool:
        """See `primitives.future.Owner`."""
        return self.workers.sent.has_begun(job)

    def begin_wait(self, job: Job | None) -> object:
        """See `primitives.future.Owner`."""
        return self.workers.waits.begin_wait(job)

    def end_wait(self, waiting: object) -> None:
        """See `primitives.future.Owner`."""
        self.workers.waits.end_wait(waiting)

    def expect_wait(self) -> None:
        """See `primitives.future.Owner`."""
        self.workers.waits.expect_wait()

    # -- a full queue

    def reject(self, fn: Callable[..., object], options: TaskOptions, message: str) -> QueueFull:
        """Count a refused job and make the error. A full queue is a reason to look how long a drain would take."""
        self.forecast.look()
        with self.lock:
            self.counts.rejected += 1
        if self.emitter.sinks:
            self.emitter.emit(events.JobRejected(self.name, monotonic(), task_name(fn, options)))
        return QueueFull(message)

    # -- a resize

    def set_max_workers(self, max_workers: int) -> None:
        """Have that many workers from now on. The lock is held.

        Raises:
            PoolClosed: the pool is closed, or the parent process has it.
        """
        if self.pid != os.getpid():
            raise forked_error(self)
        if self.state is PoolState.CLOSED:
            raise self.closed_error()
        self.max_workers = max_workers

    # -- whether all is over

    def all_ended(self) -> bool:
        """Whether every accepted job has its outcome. Only asked when no new job can come."""
        with self.lock:
            # First: what ends between the two looks would be missing from both.
            waits = self.counts.retrying or len(self.queue) or self.queue.holds_back()
            idle = not waits and self.workers.all_idle()
            if sum(self.counts.outcomes().values()) == self.counts.accepted():
                if not self.settlement.being_noted:
                    return True
                # The report is to have these errors. Not for ever: what describes one may be the user's code, and hang.
                idle = True
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
        """The timer has woken the supervisor: that is all."""

    # -- the pool is broken

    def broke(self, error: BaseException, how: str = "the initializer failed") -> None:
        """There can be no workers: the pool takes no more jobs and fails what waits. Once, and clearly."""
        self.break_by(error, f"{how}: {self.user_calls.repr_of(error)}")
        self.request_drain(None)
        self.queue.wake_all_producers()
        self.fail_waiting()

    def fail_waiting(self) -> None:
        """The pool is broken: no worker will ever run what waits."""
        while (job := self.workers.take_waiting()) is not None:
            self.settlement.settle(job, Outcome.FAILED, self.broken_error())

    # -- the end

    def request_drain(self, seconds: float | None) -> None:
        """Have a drain begin. Takes no lock, so that a signal handler or a finalizer may call it."""
        if self.pid != os.getpid():
            return
        self.close_intake()
        self.requests.append(seconds)
        self.workers.supervision.look_soon()

    def close_intake(self) -> None:
        """Take no more jobs, from this moment: the supervisor moves the state a little later."""
        self.refusal = self.refusal or self.closed_error

    def abandon(self) -> None:
        """The pool is no longer referenced: run what it has, and end."""
        if self.workers.has_workers() and self.state is PoolState.OPEN and self.pid == os.getpid():
            self.was_abandoned = True
            self.request_drain(None)

    def wait_for_report(self, timeout: float | None) -> DrainReport:
        """Wait until the pool is closed, *timeout* and the grace at most, and return its report."""
        # A limit that no clock can count to is none.
        seconds = threading.TIMEOUT_MAX if timeout is None else timeout + self.settings.cancel_grace
        limit = None if seconds >= threading.TIMEOUT_MAX / 2 else monotonic() + seconds
        self.workers.supervision.wait_closed(None if limit is None else limit + SLACK)
        until = None if limit is None else max(limit, monotonic()) + SLACK
        self.workers.join(until)
        for callback_thread in (*self.user_calls.callback_threads, self.emitter.messenger):
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
        stack, _ = thread_stack(ident, callback_thread_file)
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
        self.refusal = lambda: forked_error(self)
        self.workers.after_fork()
