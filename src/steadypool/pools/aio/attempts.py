"""What runs in an `AsyncPool`, and what becomes of it when it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.reports import StuckJob
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.aio.attempt import Attempt, Job
from steadypool.pools.aio.future import AsyncJob
from steadypool.pools.core.core import Core
from steadypool.pools.core.forked_job import end_child
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.primitives.deadlines import Deadlines
from steadypool.primitives.run_times import SAMPLE, WORTH_MEASURING
from steadypool.primitives.task_stacks import task_stack
from steadypool.primitives.thread_stacks import thread_stack
from steadypool.rules.capacity import capacity, workers_allowed


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
            stack, where = thread_stack(self.thread_ident, _ATTEMPT_FILE)
        else:
            stack, where = task_stack(worker.task, _ATTEMPT_FILE)
        return stack or f"  in {worker.name or job._task_name}, which has no Python frame of its own\n", where

    def attempt_of(self, job: AsyncJob) -> Attempt | None:
        """The attempt that runs for the job, settled or not, until it is given up."""
        found = self.running.get(job)
        return found or next((attempt for attempt, lingers in self.lingering.items() if lingers is job), None)

    def row(self, attempt: Attempt, job: Job) -> StuckJob:
        name = attempt.name or job._task_name
        shown = attempt.arguments or self.core.user_calls.plain_arguments_of(job)
        stack, _ = self.stack_of(attempt, job)
        ran = monotonic() - job._began
        return StuckJob(job.job_id, name, ran, stack, job._told or "", job._options.meta, shown)

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


_ATTEMPT_FILE = Attempt.run.__code__.co_filename
