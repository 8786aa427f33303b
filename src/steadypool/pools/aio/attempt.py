"""One attempt of a job, in a task of its own."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Generator
from typing import Any, Protocol

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.reports import WorkerStats
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.aio.future import AsyncJob
from steadypool.pools.core.core import Core
from steadypool.pools.core.emitter import Emitter, job_facts
from steadypool.pools.core.job_errors import timeout_error
from steadypool.pools.core.tame_errors import tamed, trace_of
from steadypool.primitives.deadlines import Deadlines
from steadypool.primitives.job_context import JobContext, check_progress, running_task
from steadypool.primitives.job_queue import JobQueue

_set_result = Future.set_result
_OPEN = PoolState.OPEN
_SUCCEEDED = Outcome.SUCCEEDED

Job = Any  # the common core is written for `JobFuture`; what it uses of one, `AsyncJobFuture` has as well


class Owner(Protocol):
    """What an attempt asks of the workers that it is one of."""

    name: str
    loop: asyncio.AbstractEventLoop
    core: Core
    emitter: Emitter
    queue: JobQueue[Job]
    deadlines: Deadlines
    running: dict[AsyncJob, Attempt]
    succeeded: int
    unmeasured: int

    def fill(self) -> None:
        """Start waiting jobs while there is room."""

    def measure(self, job: AsyncJob, runs: int = 1) -> None:
        """A run is over that stands for *runs*."""

    def watch(self, attempt: Attempt, job: AsyncJob, seconds: float) -> None:
        """Have the attempt ended when its time is up."""

    def attempt_failed(self, attempt: Attempt, job: AsyncJob, error: BaseException, began: bool) -> None:
        """The attempt ended with *error*, if it *began* at all."""

    def attempt_ended(self, attempt: Attempt) -> None:
        """The attempt has come to its end, and its job to the place where it belongs now."""

    def came_back(self, attempt: Attempt) -> None:
        """The attempt has ended whose job was settled before."""


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

    def __init__(self, workers: Owner, job: AsyncJob) -> None:
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

    def _succeeded(self, workers: Owner, job: AsyncJob, result: object) -> None:
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
        job = self.job
        if job is None:
            return WorkerStats(self.worker_name, None, None, None, 0.0, 0)
        name = self.name or job._task_name
        ran = monotonic() - job._began
        return WorkerStats(self.worker_name, None, job.job_id, name, ran, 0, progress=job._progress)

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
        deadlines = [moment for moment in (job._attempt_ends, job._total_ends) if moment is not None]
        deadline = min(deadlines, default=None)
        number = job.attempts + job._options.earlier_attempts
        super().__init__(job.job_id, job._task_name, number, deadline, job._options.meta)
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
