"""How a job of an `AsyncPool` is taken on and started. `pools.aio.workers` says how eager that may be."""

from __future__ import annotations

import asyncio
import sys
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

from steadypool.model.call_gates import CallGates
from steadypool.model.clock import monotonic
from steadypool.model.options import TaskOptions
from steadypool.pools.aio.attempts import Attempt, Attempts, Job
from steadypool.pools.aio.future import AsyncJob, AsyncJobFuture, Owner
from steadypool.pools.core.shared import Args, Kwargs

_Task: Any = asyncio.Task  # ``eager_start`` is not known to Python 3.11
EAGER = sys.version_info >= (3, 12)
MAX_NESTED = 8
"""So many eager starts may stand on the stack at a time."""
TURN_SECONDS = 0.001
"""So long may jobs that start eagerly take together before the loop must go round."""
NEVER = float("inf")

R = TypeVar("R")


class Launcher:
    """Starts the attempts of one pool. For the thread of its loop."""

    def __init__(self, attempts: Attempts, owner: Owner) -> None:
        self._attempts = attempts
        self._owner = owner
        self._name = attempts.name
        self._core = attempts.core
        self._tickets = attempts.core.tickets
        self._running = attempts.running
        self._lingering = attempts.lingering
        self.queue = attempts.queue
        self.emitter = attempts.emitter
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment] # until `bind` was called
        self._nested = 0
        self._turn_ends = NEVER
        self._filling = False
        self._custom_tasks = False
        self._context = Context()
        """For callbacks of the pool's own, which must not hold the context variables of a submitter."""

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The pool is opened on this loop."""
        self.loop = loop
        self._custom_tasks = loop.get_task_factory() is not None

    def announce_new(self, job: Job) -> None:
        """What a new job needs that has a total time limit, or that a sink wants to hear of."""
        if self.emitter.sinks:
            self.emitter.defer_submitted(job)
            self.emitter.emit_deferred(job)
        if job._options.total_timeout is not None:
            self._core.admission.set_limits(job)

    def enqueue(self, job: AsyncJobFuture[R], *, has_room: bool) -> AsyncJobFuture[R]:
        """Put a new job into the queue, and start it if it can."""
        if self.emitter.sinks or job._options.total_timeout is not None:
            self.announce_new(job)
        if job._options.gates is not None:
            self._hold(job, job._options.gates, has_room=has_room)
        elif has_room and job._options.priority == 0:
            self.queue.items.append(job)
        else:
            self.queue.put_ranked(job, has_room=has_room)
        if self._attempts.has_vacancy():
            self.fill()
        return job

    def _hold(self, job: Job, gates: CallGates, *, has_room: bool) -> None:
        """Have a job wait that a limit may hold back."""
        if self._core.settlement.hold(job, gates, has_room=has_room):
            self._core.settlement.settle_dropped()

    async def run_beyond_the_bound(self, job: AsyncJob) -> None:
        """Run a job of a full pool at once, and return when the attempt is over, as ``on_full="caller_runs"`` has it.

        It has a task of its own as any job, so that its time limit and its cancellation are not the caller's. A
        caller that is cancelled cancels the job.
        """
        self.announce_new(job)
        self._attempts.callers += 1
        self._attempts.recount()
        over = self.loop.create_future()
        self.start(job, monotonic(), caller=over)
        try:
            await over
        except asyncio.CancelledError:
            self._core.cancel(job, True)  # type: ignore[arg-type]
            raise

    def must_turn(self) -> bool:
        """Whether what has been started eagerly has taken so long that the loop is to go round first."""
        return self._turn_ends is not NEVER and monotonic() > self._turn_ends

    def fill(self) -> None:
        """Start waiting jobs while there is room."""
        if self._filling:
            return  # the frame that is at it goes on
        self._filling = True
        try:
            queue, running, lingering = self.queue, self._running, self._lingering
            while queue.items or queue.heap:
                if len(running) + len(lingering) >= self._attempts.limit or (now := monotonic()) > self._turn_ends:
                    return
                job: Job = queue.take()
                if job is not None:
                    self.start(job, now)
        finally:
            self._filling = False

    def take_on(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: Args, kwargs: Kwargs
    ) -> AsyncJobFuture[R] | None:
        """Make a job without limits, and start it or put it into the queue; ``None`` if something else is to be seen to
        first."""
        now = monotonic()
        if now > self._turn_ends or self._core.refusal is not None or self.loop is not _get_running_loop():
            return None
        queue = self.queue
        is_busy = queue.items or queue.heap or len(self._running) + len(self._lingering) >= self._attempts.limit
        if is_busy and (queue.blocked or not queue.take_room()):
            return None
        job: AsyncJobFuture[R] = AsyncJobFuture(
            self._owner, options, fn, args, kwargs, copy_context(), now, next(self._tickets)
        )
        if self.emitter.sinks or options.total_timeout is not None:
            self.announce_new(job)
        if not is_busy:
            self.start(job, now, fresh=True)
        elif options.priority:
            queue.put_ranked(job, has_room=True)
        else:
            queue.items.append(job)
        return job

    def start(
        self, job: AsyncJob, now: float, *, fresh: bool = False, caller: asyncio.Future[None] | None = None
    ) -> None:
        """Start an attempt of a job that the caller has taken out of its place, or has just made (*fresh*)."""
        options = job._options
        if options.retry is not None:
            # Each attempt sees the submitter's context, not what the one before made of it.
            pristine = job._context if job._pristine_context is None else job._pristine_context
            job._pristine_context, job._context = pristine, pristine.copy()
        self._running[job] = attempt = Attempt(self._attempts, job)
        if caller is not None:
            attempt.caller, attempt.is_simple = caller, False
        if not EAGER or self._nested >= MAX_NESTED or self._custom_tasks:
            self._start_later(attempt, job)
            return
        if not fresh:
            job._began = now
        if self._turn_ends is NEVER:
            self._turn_ends = now + TURN_SECONDS
            self.loop.call_soon(self._new_turn, context=self._context)
        self._nested += 1
        try:
            task = _Task(attempt.run(fresh), loop=self.loop, name=self._name, context=job._context, eager_start=True)
        finally:
            self._nested -= 1
        if attempt.job is not None:
            self._goes_on(attempt, job, task)

    def _goes_on(self, attempt: Attempt, job: AsyncJob, task: asyncio.Task[None]) -> None:
        """An eager attempt has not ended in its first step."""
        attempt.task = task
        if job._options.timeout is not None:
            self._attempts.watch(attempt, job, job._options.timeout)
        if job._told is not None:
            task.cancel()  # it was asked to stop in that step, when its task was not known yet

    def _start_later(self, attempt: Attempt, job: AsyncJob) -> None:
        coroutine = attempt.run(None)
        coroutine.send(None)  # to its first line: see there
        if self._custom_tasks:
            attempt.task = self.loop.create_task(coroutine, name=self._name, context=job._context)
        else:
            attempt.task = _Task(coroutine, loop=self.loop, name=self._name, context=job._context)

    def _new_turn(self) -> None:
        self._turn_ends = NEVER
        if self.queue.items or self.queue.heap:
            self.fill()
