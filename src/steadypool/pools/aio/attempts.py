"""What runs in an `AsyncPool`, each attempt of a job in a task of its own, and what becomes of it when it ends."""

from __future__ import annotations

import asyncio
import os
from asyncio import Future
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.reports import StuckJob, WorkerStats
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.aio.future import AsyncJob
from steadypool.pools.core.core import Core
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.forked_job import end_child
from steadypool.pools.core.job_errors import cancelled_error, timeout_error
from steadypool.pools.core.report_rows import stuck_row, worker_row
from steadypool.pools.core.tame_errors import tamed, trace_of
from steadypool.primitives.deadlines import Deadlines
from steadypool.primitives.job_context import JobContext, check_progress, facts_of, running_task
from steadypool.primitives.run_times import SAMPLE, WORTH_MEASURING
from steadypool.primitives.task_stacks import task_stack
from steadypool.primitives.thread_stacks import thread_stack
from steadypool.rules.capacity import capacity, workers_allowed

_set_result = Future.set_result
_OPEN = PoolState.OPEN
_SUCCEEDED = Outcome.SUCCEEDED

Job = Any  # the common core is written for `JobFuture`; what it uses of one, `AsyncJobFuture` has as well


class Turn:
    """Awaited, it lets the loop go round once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = Turn()


class Attempt:
    """What runs one attempt of a job: the pool's worker, for as long as that takes."""

    task: asyncio.Task[None] | None = None
    """``None`` during the first step of an eager one."""
    context: AsyncJobContext | None = None
    is_simple = True
    """Nothing needs to be put back in order at its end, but its time limit."""
    name: str | None = None
    """What reports call the task, kept when the job is settled while it still runs."""
    arguments = ""
    """What reports show of the job's arguments, kept likewise."""
    limit: float | None = None
    """The time limit that is watched, in seconds."""
    caller: asyncio.Future[None] | None = None
    """It runs beyond the bound, and its submitter waits for this."""
    waits = 0
    """How many waits for jobs of the same pool are under way in it."""
    waiting_for: AsyncJob | None = None

    def __init__(self, workers: Attempts, job: AsyncJob) -> None:
        self.workers = workers
        self.job: AsyncJob | None = job

    async def run(self, fresh: bool | None) -> None:
        """Run the attempt, and settle the job if it is still there afterwards. Never raises.

        *fresh* is true for a job that is started as it is submitted, false for one that has waited. ``None``: the task
        is not eager.
        """
        workers, job = self.workers, self.job
        assert job is not None
        has_begun = fresh is not None
        try:
            if fresh is None:
                # `AsyncWorkers.start` has brought the coroutine to this line, so that it cannot be cancelled unseen: a
                # task that is cancelled before its first step never runs a line of its coroutine.
                await TURN
                has_begun = True
                job._began = monotonic()
                if job._options.timeout is not None:
                    workers.watch(self, job, job._options.timeout)
            running_task.set(self)
            if (workers.emitter.sinks or not fresh) and not self._may_start(job):
                return
            job.attempts += 1
            if job._kwargs:
                result = await job._fn(*job._args, **job._kwargs)
            else:
                result = await job._fn(*job._args)
        except BaseException as error:
            # The first entry is this frame: without it the traceback is the user's own, and free of our locals.
            trace = trace_of(error)
            BaseException.with_traceback(error, trace.tb_next if trace is not None else None)
            error = tamed(error, workers.core.user_calls.text_of)
            workers.attempt_failed(self, job, error, has_begun)
            del workers, job  # or the error's traceback, which reaches this frame, would keep them
            return
        if workers.running.pop(job, None) is None:
            workers.came_back(self)
        else:
            self._succeeded(workers, job, result)

    def _succeeded(self, workers: Attempts, job: AsyncJob, result: object) -> None:
        """Settle the job, which the caller has taken, with its result."""
        workers.succeeded = count = workers.succeeded + 1
        if not count & workers.unmeasured:
            workers.measure(job, workers.unmeasured + 1)
        if workers.emitter.sinks:
            workers.emitter.emit_end(job, _SUCCEEDED, None)  # type: ignore[arg-type]
        if job._alarm is not None:
            workers.core.settlement.drop_alarm(job)  # type: ignore[arg-type]
        # The lines of AsyncJobFuture._settle, written out: this is the hot path.
        job._fn = job._args = job._kwargs = job._context = None
        job.outcome = _SUCCEEDED
        _set_result(job, result)
        if job._waiters is not None:
            job._wake_waiters()
        if not self.is_simple or workers.core.state is not _OPEN:
            workers.attempt_ended(self)
            return
        if self.limit is not None:
            workers.deadlines.remove(job, self.limit)
        self.job = self.task = None
        queue = workers.queue
        if queue.items or queue.heap:
            workers.fill()

    def _may_start(self, job: Job) -> bool:
        """Whether the job is still to run; if not, it is settled. Says so to the sinks."""
        workers = self.workers
        late = job._total_ends is not None and job._total_ends <= job._began
        if workers.core.attention or job._told is not None or late:
            self.put_aside(job)
            return False
        if workers.emitter.sinks:
            workers.emitter.emit_deferred(job)
            job_id, task, attempts, meta = job_facts(job)
            facts = job_id, task, attempts + 1, meta, self.worker_name, job._began - job._submitted
            workers.emitter.emit(events.JobStarted(workers.name, job._began, *facts))
        return True

    def put_aside(self, job: Job) -> None:
        """Settle the job, which is not to run (again)."""
        workers = self.workers
        if workers.running.pop(job, None) is None:
            workers.came_back(self)
            return
        if job._told == "cancelled":
            workers.core.settlement.settle(job, Outcome.CANCELLED, job._pending_error)
        elif workers.core.attention or job._told is not None:
            workers.core.settlement.hand_back(job)
        else:
            workers.core.settlement.settle(job, Outcome.TIMED_OUT, timeout_error(job, "total_timeout", ""))
        workers.attempt_ended(self)

    @property
    def worker_name(self) -> str:
        """What events and statistics call this worker."""
        job = self.job
        return f"{self.workers.name}-task-{job._number + 1}" if job is not None else f"{self.workers.name}-task"

    def row(self) -> WorkerStats:
        """What `PoolStats` says of it."""
        return worker_row(self.worker_name, self.job, self.name, 0)  # type: ignore[arg-type]

    def context_on(self, loop: object) -> JobContext | None:
        """See `primitives.job_context.RunningTask`. Tasks that the job leaves behind have it until the job ends."""
        if loop is not self.workers.loop:
            return None
        if self.context is None and self.job is not None:
            self.context = AsyncJobContext(self, self.job)
            self.is_simple = False
        return self.context


class AsyncJobContext(JobContext):
    """The context of a job that runs on an event loop.

    A request to stop is asyncio's ``CancelledError``, raised where the job awaits; ``cause`` says why.
    """

    def __init__(self, attempt: Attempt, job: AsyncJob) -> None:
        super().__init__(*facts_of(job))
        self._workers = attempt.workers
        self._job: AsyncJob | None = job
        self._cause: str | None = None

    @property
    def cause(self) -> str | None:
        """See `JobContext`."""
        return self._cause if self._job is None else self._job._told

    def end(self) -> None:
        """The attempt has ended; the context goes on to say what it said last."""
        self._cause, self._job = self.cause, None

    def sleep(self, seconds: float) -> Awaitable[bool]:  # type: ignore[override] # it has to be awaited here
        """Sleep: ``await current_job().sleep(1)``. Asked to stop, the job gets ``CancelledError`` here as anywhere.

        Returns:
            An awaitable of ``True``.
        """
        return asyncio.sleep(seconds, True)

    def progress(self, done: float, total: float | None = None) -> None:
        """See `JobContext`."""
        done, total = check_progress(done, total)
        job, workers = self._job, self._workers
        if job is None:
            return
        job._progress = (done, total)
        if workers.emitter.sinks:
            workers.emitter.emit(events.JobProgressed(workers.name, monotonic(), *job_facts(job), done, total))  # type: ignore[arg-type]

    def _leave_note(self, note: bytes) -> None:
        super()._leave_note(note)
        if self._job is not None:
            self._job._job_context = self


class Attempts:
    """The attempts of one pool.

    ``running`` are those whose job has no outcome yet, ``lingering`` those whose job is settled and who have their
    grace, ``stuck`` those who went on after it.
    """

    loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment] # until `AsyncWorkers.check_loop` was called
    thread_ident = 0
    """The thread that the loop runs on."""

    def __init__(self, core: Core, fill: Callable[[], None], wake_before: Callable[[float], None]) -> None:
        self.core = core
        self.name = core.name
        self.fill = fill
        """Starts waiting jobs while there is room."""
        self._wake_before = wake_before
        self.queue = self.core.queue
        self.emitter = self.core.emitter
        self.deadlines = Deadlines(self.core.timers, self._limit_has_passed)
        self.running: dict[AsyncJob, Attempt] = {}
        self.lingering: dict[Attempt, AsyncJob] = {}
        self.stuck: dict[Attempt, AsyncJob] = {}
        self.succeeded = 0
        self.unmeasured = 0
        """As many runs in a row need not be measured; one less than a power of two."""
        self.lent = 0
        self.callers = 0
        """Attempts that run beyond the bound because the queue was full, while their submitters wait for them."""
        self.limit = core.max_workers
        """How many may be running and lingering now."""

    def measure(self, job: AsyncJob, runs: int = 1) -> None:
        """A run is over that stands for *runs*."""
        seconds = monotonic() - job._began
        self.core.run_times.add(seconds * runs, runs, task=job._task_name)
        self.unmeasured = 0 if seconds > WORTH_MEASURING or self.core.emitter.sinks else SAMPLE - 1
        if self.core.forecast.limit is not None:
            self.core.forecast.look()

    def has_vacancy(self) -> bool:
        """Whether one more job can run now."""
        return len(self.running) + len(self.lingering) < self.limit

    def recount(self) -> None:
        """Something changed that the number of running jobs depends on."""
        self.limit = workers_allowed(self.core.max_workers, len(self.stuck), self.lent) + self.callers

    def leave_caller(self, attempt: Attempt) -> None:
        """The attempt is over, or given up: its submitter, if that waits for it, may go on."""
        caller, attempt.caller = attempt.caller, None
        if caller is not None:
            self.callers -= 1
            self.recount()
            if not caller.done():
                caller.set_result(None)

    def say_capacity(self) -> None:
        """Say how many jobs can run at a time."""
        self.core.emitter.emit(
            events.CapacityChanged(self.core.name, monotonic(), self.places(), self.core.max_workers)
        )

    def stack_of(self, worker: Attempt, job: Job) -> tuple[str, str]:
        """The chain of awaits that the attempt is in; for one that runs at this moment, the stack of its thread."""
        # An eager attempt has no task yet in its first step, which is running.
        if worker.task is None or worker.task is asyncio.current_task(self.loop):
            stack, where = thread_stack(self.thread_ident, __file__)
        else:
            stack, where = task_stack(worker.task, __file__)
        return stack or f"  in {worker.name or job._task_name}, which has no Python frame of its own\n", where

    def attempt_of(self, job: AsyncJob) -> Attempt | None:
        """The attempt that runs for the job, settled or not, until it is given up."""
        found = self.running.get(job)
        return found or next((attempt for attempt, lingers in self.lingering.items() if lingers is job), None)

    def row(self, attempt: Attempt, job: Job) -> StuckJob:
        name = attempt.name or job._task_name
        shown = attempt.arguments or self.core.user_calls.plain_arguments_of(job)
        stack, _ = self.stack_of(attempt, job)
        return stuck_row(job, name, shown, stack)

    def watch(self, attempt: Attempt, job: AsyncJob, seconds: float) -> None:
        """Have the attempt ended when its time is up."""
        attempt.limit = seconds
        ends = job._began + seconds
        self.deadlines.add(job, seconds, ends)
        self._wake_before(ends)

    def places(self) -> int:
        """How many jobs can run at a time, the stuck ones left out."""
        return capacity(self.core.max_workers, len(self.stuck))

    def _limit_has_passed(self, job: Job) -> None:
        if job in self.running:  # one that was cancelled, and given up, has its outcome and no attempt that is known
            self.core.termination.attempt_time_is_up(job)

    # -- ending

    def attempt_failed(self, attempt: Attempt, job: Job, error: BaseException, began: bool) -> None:
        """The attempt ended with *error*, if it *began* at all."""
        if not began and job._told is not None:
            attempt.put_aside(job)
            return
        if self.running.pop(job, None) is None:
            self.came_back(attempt, error)
            return
        if began:
            self.measure(job)
        if self.loop.is_closed():
            self._lost(job)
        elif isinstance(error, asyncio.CancelledError) and job._told is None:
            # Other code cancelled the task, or it cancelled itself: that ends the job alone.
            cancelled = cancelled_error(job, "cancelled")
            cancelled.__cause__ = error
            self.core.settlement.settle(job, Outcome.CANCELLED, cancelled)
        else:
            self.core.settlement.attempt_raised(job, error)
        self.attempt_ended(attempt)

    def attempt_ended(self, attempt: Attempt) -> None:
        """An attempt has come to its end, and its job to the place where it belongs now."""
        if attempt.limit is not None:
            self.deadlines.remove(attempt.job, attempt.limit)
        if attempt.waits:
            attempt.waits = 0
            self.lent -= 1
            self.recount()
        self.leave_caller(attempt)
        if attempt.context is not None:
            attempt.context.end()
            attempt.context = None
        # Contexts that were copied while it ran may live much longer: they must not keep the job.
        attempt.job = attempt.task = None
        if self.core.state is not PoolState.OPEN:
            self.core.bell.ring()
        if self.queue.items or self.queue.heap:
            self.fill()

    def came_back(self, attempt: Attempt, error: BaseException | None = None) -> None:
        """An attempt has ended whose job was settled before."""
        if self.core.pid != os.getpid():
            end_child(error)
        if attempt.job is not None:
            self.core.limits.free(attempt.job)  # type: ignore[arg-type]
        self.lingering.pop(attempt, None)
        was_stuck = self.stuck.pop(attempt, None) is not None
        name = attempt.worker_name
        if was_stuck:
            self.recount()
        self.attempt_ended(attempt)
        if was_stuck and self.emitter.sinks:
            self.emitter.emit(events.WorkerEnded(self.name, monotonic(), name, "its job ended at last"))
            self.say_capacity()

    def _lost(self, job: Job) -> None:
        """The loop was closed under a running job: no waiter can be woken any more."""
        self.core.counts.ended[Outcome.INTERRUPTED] += 1
        job.outcome = Outcome.INTERRUPTED
