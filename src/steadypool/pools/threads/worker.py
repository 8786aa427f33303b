"""A worker thread: takes jobs, runs them, and settles what it still holds afterwards.

What runs where
---------------
* **The submitter's thread** takes room, appends the job and wakes one worker, if one is parked (`ThreadPool.submit`).
* **A worker thread** (this file) takes jobs, runs them and settles what it still holds afterwards.
* **The supervisor thread** (`pools.core.supervisor`), started when something first needs a clock, does all the rest.

The races, and what closes each:

* *Two want to settle a job*: the worker keeps it in its ``hand``; the thread that takes it out (one atomic ``pop`` or
  ``remove``) settles it. A worker that finds its hand empty after a job drops the result.
* *A worker parks while a job arrives*: it parks first, then looks at the queue again; a submitter appends first,
  then looks for a parked worker.
* *A worker starts a job while it is cancelled, or the drain gives up*: the worker puts the job in its hand first,
  then looks at ``job._told`` and ``core.attention``; the other side writes these first, then looks into hands.
* *A deadline earlier than the supervisor's next wake-up*: the worker writes it, then looks at ``next_wake``; the
  supervisor sets ``next_wake`` to infinity before it reads the deadlines.
* *A job forks*: in the child every hand is emptied, since the job is the parent's. The code that comes to its end there
  finds that, and the child ends (`pools.core.forked_job`).
* *A stuck thread comes back while it is being left behind*: both change ``taken`` and ``left`` under the core's lock.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable
from concurrent.futures._base import FINISHED, RUNNING
from types import CoroutineType
from typing import TYPE_CHECKING, Protocol

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.core import Core
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.forked_job import end_child
from steadypool.pools.core.functions import unawaited_error
from steadypool.pools.core.job_errors import cancelled_error, timeout_error
from steadypool.pools.core.report_rows import worker_row
from steadypool.pools.core.shared import Args, Job
from steadypool.pools.core.tame_errors import trace_of
from steadypool.pools.threads.supervisor_thread import SupervisorThread
from steadypool.primitives.job_context import JobContext, check_progress, facts_of, set_finder
from steadypool.primitives.run_times import SAMPLE, WORTH_MEASURING
from steadypool.primitives.thread_stacks import thread_stack

if TYPE_CHECKING:
    from steadypool.model.reports import WorkerStats

here = threading.local()
"""What the calling thread is: ``worker``, if it runs a job; ``lender``, if it is a worker's own thread."""


class JobRunner:
    """Runs jobs on a thread. Its ``hand`` holds the one that it runs, until a thread takes it out."""

    __slots__ = (
        "core",
        "hand",
        "left",
        "lending",
        "lent_until_end",
        "name",
        "raised",
        "succeeded",
        "taken",
        "taken_arguments",
        "taken_name",
        "thread",
        "waiting_for",
    )

    def __init__(self, core: Core, name: str, thread: threading.Thread | None = None) -> None:
        self.core = core
        self.name = name
        self.thread = threading.current_thread() if thread is None else thread
        self.hand: list[Job] = []
        self.succeeded = 0
        self.raised = 0
        """Attempts that ended with an exception."""
        self.taken: Job | None = None
        """The job it runs though another thread has settled it."""
        self.taken_name: str | None = None
        self.taken_arguments = ""
        self.left = False
        self.lending = False
        self.lent_until_end = False
        self.waiting_for: Job | None = None

    def run(self, job: Job) -> bool:
        """Run one attempt. False if this worker was left behind meanwhile and must end."""
        core = self.core
        hand = self.hand
        job._worker = self
        job.attempts += 1
        job._state = RUNNING
        job._began = monotonic()
        hand.append(job)
        peaceful = job._options.plain and not core.attention and job._told is None and not core.emitter.sinks
        if not peaceful and not self._may_start(job):
            return not self.left
        context = job._context
        if context is None:
            return self._was_taken()  # settled since the looks above
        try:
            if not job._args and not job._kwargs:
                result = context.run(job._fn)  # a quarter of the time that the general call takes
            else:
                result = context.run(job._fn, *job._args, **job._kwargs)
            if type(result) is CoroutineType:
                raise unawaited_error(result)
        except BaseException as error:
            # The first entry is this frame: without it the traceback is the user's own, and free of our locals.
            self.raised += 1
            trace = trace_of(error)
            BaseException.with_traceback(error, trace.tb_next if trace is not None else None)
            try:
                return self._raised(job, error)
            finally:
                del job, trace, context  # the failed frame refers to this one: a circle through the job's exception
        try:
            hand.pop()
        except IndexError:
            return self._was_taken()
        self._succeeded(job, result)
        return True

    def _succeeded(self, job: Job, result: object) -> None:
        """Settle a success: the lines of `Settlement.settle` and `JobFuture._settle` that it needs, on the hot path."""
        core = self.core
        self.succeeded += 1
        if core.emitter.sinks:
            core.emitter.emit_end(job, Outcome.SUCCEEDED, None)
        if job._alarm is not None:
            core.settlement.drop_alarm(job)
        job._fn = job._args = job._kwargs = job._context = None
        job._result = result
        job.outcome = Outcome.SUCCEEDED
        if job._made_condition is None:
            job._state = FINISHED
        else:
            job._publish_under(job._made_condition, FINISHED)
        if job._sleepers is not None:
            job._wake_sleepers()
        if job._callbacks is not None:
            job._run_callbacks()

    def _may_start(self, job: Job) -> bool:
        """What a job needs that is not plain, or a pool that is not at peace. False: it does not run."""
        core = self.core
        options = job._options
        refusal = self._refusal(job)
        if refusal is not None:
            try:
                self.hand.pop()
            except IndexError:
                self._was_taken()
                return False
            job.attempts -= 1
            refusal()
            return False
        if options.retry is not None:
            # Each attempt sees the submitter's context, not what the one before made of it.
            # Not "or": an empty context is false.
            context = job._context if job._pristine_context is None else job._pristine_context
            if context is None:
                self._was_taken()
                return False
            job._pristine_context, job._context = context, context.copy()
        if core.emitter.sinks:
            core.emitter.emit_deferred(job)
            waited = job._began - job._submitted
            started = events.JobStarted(core.name, job._began, *job_facts(job), self.name, waited)
            context = job._context
            if context is None:
                self._was_taken()
                return False
            context.run(core.emitter.emit, started)
        if options.timeout is not None:
            # After the event: once this is written, the supervisor may end the job.
            job._attempt_ends = ends = job._began + options.timeout
            if ends < core.next_wake:
                core.bell.ring()
        if job._gated is not None:
            core.limits.wake()  # more may pass, and one worker alone was woken for all of them
        return True

    def _refusal(self, job: Job) -> Callable[[], None] | None:
        """Why the job must not start, as what is to be done with it; ``None`` if it may."""
        core = self.core
        if core.state is PoolState.CLOSED:
            # The books are closed: its submitter, who is still about to check in, takes it back.
            return lambda: core.queue.put_ranked(job, has_room=False)
        if core.state is PoolState.CANCELLING:
            return lambda: core.settlement.hand_back(job)
        if job._told is not None:
            outcome = Outcome.CANCELLED if job._told == "cancelled" else Outcome.INTERRUPTED
            return lambda: core.settlement.settle(job, outcome, job._pending_error or cancelled_error(job, "cancelled"))
        if job._total_ends is not None and job._total_ends <= job._began:
            error = timeout_error(job, "total_timeout", "")
            return lambda: core.settlement.settle(job, Outcome.TIMED_OUT, error)
        return None

    def _raised(self, job: Job, error: BaseException) -> bool:
        try:
            self.hand.pop()
        except IndexError:
            return self._was_taken(error)
        self.core.settlement.attempt_raised(job, error)
        return True

    def _was_taken(self, error: BaseException | None = None) -> bool:
        """Another thread has settled the job. True if this worker may go on, False if it was left behind."""
        core = self.core
        if core.pid != os.getpid():
            end_child(error)
        with core.lock:
            job, self.taken, self.taken_name = self.taken, None, None
            if job is not None and job._gated is not None:
                core.limits.free(job)
        if core.state is not PoolState.OPEN:
            core.bell.ring()
        return not self.left

    def running(self) -> tuple[Job, ...]:
        """The job that it holds, if it does."""
        return tuple(self.hand)

    def stack(self, job: Job) -> tuple[str, str]:
        """Where the thread is now, as text, and the innermost place."""
        return thread_stack(self.thread.ident, __file__)

    def row(self) -> WorkerStats:
        """What `PoolStats` says of this worker."""
        job = next(iter(tuple(self.hand)), self.taken)
        return worker_row(self.name, job, self.taken_name, self.succeeded + self.raised)

    def context(self) -> JobContext | None:
        """The context of the job that this worker runs now."""
        try:
            job = self.hand[0]
        except IndexError:
            if self.taken is None:
                return None
            job = self.taken
        return ThreadJobContext.of(job)


class Starts(Protocol):
    """How worker threads are started, and say that they have begun."""

    def begin(self, worker: ThreadWorker) -> bool:
        """Whether the thread that runs now is wanted."""

    def initializer_succeeded(self) -> None:
        """In one worker."""

    def initializer_failed(self, worker: ThreadWorker, error: BaseException) -> None:
        """In this worker, which ends."""

    def catch_up(self) -> None:
        """There may be more workers than before: start some for what waits already."""


class Crew(Protocol):
    """The workers of a pool, as each of them sees them, what starts them, and jobs that wait for their own pool."""

    core: Core
    supervision: SupervisorThread
    workers: set[ThreadWorker]
    threads: set[threading.Thread]
    parked: list[_thread.LockType]
    """The locks on which idle workers sleep."""
    may_grow: bool
    leaving: bool
    """Workers look at this before they take a job; true when one of them may have to leave."""
    initializer: Callable[..., object] | None
    initargs: Args

    @property
    def starts(self) -> Starts:
        """How workers are started."""

    def allowed(self) -> int:
        """How many workers may live now. The lock is held."""

    def recount(self) -> None:
        """Something changed that `allowed` depends on. The lock is held."""

    def new_worker(self) -> ThreadWorker:
        """A worker whose thread was not started yet."""

    def wake_all_workers(self) -> None:
        """Have every parked worker look at the pool's state."""

    def must_leave(self, worker: ThreadWorker) -> bool:
        """Whether this worker, which holds no job, is to end; if so it is taken off the books."""

    def broke_off(self, worker: ThreadWorker, error: BaseException) -> None:
        """The worker ends by an exception that came from no job."""

    def ended(self, worker: ThreadWorker) -> None:
        """The worker's thread is about to end."""


class ThreadWorker(JobRunner):
    """One worker thread of a pool."""

    __slots__ = ("begun", "ready", "waker", "workers")

    def __init__(self, workers: Crew, name: str) -> None:
        super().__init__(workers.core, name, threading.Thread(target=self._run_thread, name=name, daemon=True))
        self.workers = workers
        self.waker = _thread.allocate_lock()
        self.waker.acquire()
        self.begun = self.ready = False

    def _run_thread(self) -> None:
        core = self.core
        workers = self.workers
        if not workers.starts.begin(self):
            return
        here.worker = here.lender = self
        set_finder(self.context)
        try:
            if not self._initialize():
                return
            if core.emitter.sinks:
                core.emitter.emit(events.WorkerStarted(core.name, monotonic(), self.name))
            self._loop()
        except BaseException as error:
            workers.broke_off(self, error)
            raise
        finally:
            workers.ended(self)

    def _initialize(self) -> bool:
        workers = self.workers
        if workers.initializer is None:
            return True
        try:
            workers.initializer(*workers.initargs)
        except BaseException as error:
            workers.starts.initializer_failed(self, error)
            return False
        self.ready = True
        workers.starts.initializer_succeeded()
        return True

    def _loop(self) -> None:
        core = self.core
        workers = self.workers
        queue = core.queue
        heap, blocked = queue.heap, queue.blocked
        take_plain, give_room = queue.items.popleft, queue.room.append
        job: Job | None
        skip = skipped = 0
        while True:
            if workers.leaving and workers.must_leave(self):
                return
            if heap:
                job = queue.take()
            else:
                try:
                    job = take_plain()
                except IndexError:
                    job = None
                else:
                    give_room(None)
                    if blocked:
                        queue.wake_producer()
            if job is None:
                self._park()
                continue
            task = "" if skip else job._task_name  # which it forgets when it ends
            if not self.run(job):
                return
            if skip:
                skip -= 1
            else:
                skip = skipped = self._measure(task, job, skipped)
            # Or an idle worker would keep the last job, and its result, alive.
            job = None

    def _measure(self, task: str, job: Job, skipped: int) -> int:
        """A run is over that stands for *skipped* others too. Returns how many of the next need not be measured."""
        core = self.core
        seconds = monotonic() - job._began
        core.run_times.add(seconds * (skipped + 1), skipped + 1, task=task)
        if core.forecast.limit is not None:
            core.forecast.look()
        return 0 if seconds > WORTH_MEASURING or core.emitter.sinks else SAMPLE - 1

    def _park(self) -> None:
        """Wait until there may be something to do."""
        core = self.core
        workers = self.workers
        workers.parked.append(self.waker)
        if core.queue.items or core.queue.heap or workers.leaving:
            try:
                workers.parked.remove(self.waker)
            except ValueError:
                pass  # woken already: the lock is free
            else:
                return
        if core.state is not PoolState.OPEN:
            core.bell.ring()
        self.waker.acquire()


class ThreadJobContext(JobContext):
    """The context of a job that runs on a thread of this process."""

    def __init__(self, job: Job) -> None:
        super().__init__(*facts_of(job))
        self._job = job
        self._own_attempt = job.attempts

    @classmethod
    def of(cls, job: Job) -> ThreadJobContext:
        """The context of the job's present attempt, always the same one."""
        known: ThreadJobContext | None = job._job_context
        if known is None or known._own_attempt != job.attempts:
            known = job._job_context = cls(job)
        return known

    @property
    def cause(self) -> str | None:
        """See `JobContext`."""
        return self._job._told

    def _wait(self, seconds: float) -> None:
        job = self._job
        if job._stop_event is None:
            job.__dict__.setdefault("_stop_event", threading.Event())
        event = job._stop_event
        if event is None:
            event = job._stop_event = threading.Event()
        if job._told is None:
            event.wait(seconds)

    def progress(self, done: float, total: float | None = None) -> None:
        """See `JobContext`."""
        done, total = check_progress(done, total)
        job = self._job
        job._progress = (done, total)
        runner: JobRunner = job._worker
        core = runner.core
        if core.emitter.sinks:
            core.emitter.emit(events.JobProgressed(core.name, monotonic(), *job_facts(job), done, total))
