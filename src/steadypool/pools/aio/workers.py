"""The workers of an `AsyncPool`: tasks, and the common core driven by an event loop instead of threads.

Theory of operation
-------------------
`pools.core.core` and `pools.core.supervisor` decide here what they decide for threads and processes: retries, time
limits, the drain ladder, the books. What differs is how it is waited for, and that everything happens on one thread:
nothing here is atomic in any other way than by not awaiting. (The common core takes its lock, on the control plane
only; nobody else ever has it.)

* **A worker** is an `Attempt`: one task, for one attempt of one job. ``running`` are those whose job has no outcome
  yet, ``lingering`` those whose job is settled and who have their grace, ``stuck`` those who went on after it. The
  first two take up room under ``limit``; a stuck one gives its room to another.
* **submit** starts the job at once if there is room for it. On Python 3.12 and later the task is *eager*: its first
  step runs inside ``submit``, and a job that never waits has ended before ``submit`` returns, without ever going
  through the loop. Two bounds keep that harmless. ``nested``: jobs that submit jobs start them eagerly only so deep,
  and beyond that on the loop's next round, so that the stack cannot grow. ``turn_ends``: when they have taken a
  millisecond together, the submitter has to let the loop go round first, so that nothing else starves.
* **The end of an attempt** settles the job, and starts the next one that waits (``fill``).
* **The control plane** is ``step``, called by the loop when something was asked for (``bell``) or is due
  (``alarm``: one timer for the whole pool, moved only when something is due earlier than it rings). Time limits of
  attempts stand in `primitives.deadlines`, everything else that is due on the agenda.
* **The keeper** is a task that waits for the pool to close. When somebody cancels it, the loop is about to end with
  the pool open (`asyncio.run` cancels all tasks): it drains the pool without patience and says what was lost.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import Task, TaskOptions
from steadypool.model.states import PoolState
from steadypool.pools.aio.attempt import Attempt, Job
from steadypool.pools.aio.attempts import RunningAttempts
from steadypool.pools.aio.functions import check_coroutine_function
from steadypool.pools.aio.future import AsyncJob, AsyncJobFuture
from steadypool.pools.aio.loop_end import watch_loop
from steadypool.pools.aio.loop_lag import Pulse
from steadypool.pools.aio.nested_waits import AsyncWaits
from steadypool.pools.aio.supervisor import LoopSupervisor
from steadypool.pools.aio.timers import LoopBell
from steadypool.pools.core.functions import options_within
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Args, Kwargs

_Task: Any = asyncio.Task  # ``eager_start`` is not known to Python 3.11
EAGER = sys.version_info >= (3, 12)
MAX_NESTED = 8
"""So many eager starts may stand on the stack at a time."""
TURN_SECONDS = 0.001
"""So long may jobs that start eagerly take together before the loop must go round."""
NEVER = float("inf")


R = TypeVar("R")


class AsyncWorkers(RunningAttempts):
    """The workers of one `AsyncPool`, and its control plane on the loop."""

    kind = "asyncio"

    def __init__(self, settings: Settings, max_workers: int) -> None:
        bell = LoopBell(lambda: self.supervision.step())
        super().__init__(settings, max_workers, bell)
        self.supervision: LoopSupervisor = LoopSupervisor(self.core, bell, self.deadlines, self.fill)
        self.waits: AsyncWaits = AsyncWaits(self)
        self.tickets = self.core.tickets
        self.is_bound = False
        self.nested = 0
        self.turn_ends = NEVER
        self.filling = False
        self.context = Context()
        """For callbacks of the pool's own, which must not hold anybody's context variables."""
        self.keeper: asyncio.Task[None] | None = None
        self.custom_tasks = False
        self.pulse = Pulse()

    # -- the loop

    def check_loop(self) -> None:
        """Open the pool on the running loop, or see that it is the one where it was opened.

        Raises:
            RuntimeError: it is not.
        """
        loop = _get_running_loop()
        if self.is_bound and loop is self.loop:
            return
        if loop is None:
            raise RuntimeError(
                f"pool {self.name!r} is used on its event loop, one of asyncio's, and none runs in this thread: "
                "from another thread call pool.submit_threadsafe(fn, ...), which returns a concurrent.futures.Future"
            )
        if self.is_bound:
            raise RuntimeError(
                f"pool {self.name!r} belongs to another event loop than the one that runs here: "
                "call pool.submit_threadsafe(fn, ...), and await asyncio.wrap_future(...) of what it returns"
            )
        self._bind(loop)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.supervision.bind(loop)
        _bound.add(self)
        self.thread_ident = threading.get_ident()
        self.is_bound = True
        self.custom_tasks = loop.get_task_factory() is not None
        if self.core.state is PoolState.OPEN:
            watch = watch_loop(self.core, self.supervision.closed, self)
            self.keeper = asyncio.Task(watch, loop=loop, name=f"{self.name}-keeper", context=Context())

    def cancel(self, job: Job, running: bool, cause: str = "cancelled") -> bool:
        """See `AsyncJobFuture.cancel`."""
        return self.core.cancel(job, running, cause)

    def rest(self, until: float | None) -> None:
        """The loop rests by itself."""
        return

    def join(self, until: float | None) -> None:
        """See `pools.aio.shutdown`."""
        return

    def begin_drain(self, seconds: float | None) -> None:
        """Begin a drain now, on the pool's own loop; on any loop, if it was never opened on one."""
        if self.is_bound:
            self.check_loop()
        self.core.requests.append(seconds)
        self.supervision.step()

    # -- taking a job on, and starting it

    def announce_new(self, job: Job) -> None:
        """What a new job needs that has a total time limit, or of which somebody wants to hear."""
        if self.emitter.sinks:
            self.emitter.defer_submitted(job)
            self.emitter.emit_deferred(job)
        if job._options.total_timeout is not None:
            self.core.admission.set_limits(job)

    def enqueue(self, job: AsyncJobFuture[R], *, has_room: bool) -> AsyncJobFuture[R]:
        """Put a new job into the queue, and start it if it can."""
        if self.emitter.sinks or job._options.total_timeout is not None:
            self.announce_new(job)
        if has_room and job._options.priority == 0:
            self.queue.items.append(job)
        else:
            self.queue.put_ranked(job, has_room=has_room)
        if len(self.running) + len(self.lingering) < self.limit:
            self.fill()
        return job

    async def run_beyond_the_bound(self, job: AsyncJob) -> None:
        """Run a job of a full pool at once, and return when the attempt is over, as ``on_full="caller_runs"`` has it.

        It has a task of its own as any job, so that its time limit and its cancellation are not the caller's. A
        caller that is cancelled cancels the job.
        """
        self.announce_new(job)
        self.callers += 1
        self.recount()
        over = self.loop.create_future()
        self.start(job, monotonic(), caller=over)
        try:
            await over
        except asyncio.CancelledError:
            self.core.cancel(job, True)  # type: ignore[arg-type]
            raise

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """See `Workers`; here it must be a coroutine function."""
        check_coroutine_function(fn)
        if type(fn) is Task:
            return fn.fn, fn.merged(self.core.options)
        carried = options_within(fn)
        return fn, self.core.options if carried is None else carried.over(self.core.options)

    def must_turn(self) -> bool:
        """Whether what has been started eagerly has taken so long that the loop is to go round first."""
        return self.turn_ends is not NEVER and monotonic() > self.turn_ends

    def fill(self) -> None:
        """Start waiting jobs while there is room."""
        if self.filling:
            return  # the frame that is at it goes on
        self.filling = True
        try:
            queue, running, lingering = self.queue, self.running, self.lingering
            while queue.items or queue.heap:
                if len(running) + len(lingering) >= self.limit or (now := monotonic()) > self.turn_ends:
                    return
                job: Job = queue.take()
                if job is not None:
                    self.start(job, now)
        finally:
            self.filling = False

    def take_on(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: Args, kwargs: Kwargs
    ) -> AsyncJobFuture[R] | None:
        """Make a job, and start it or put it into the queue; ``None`` if something else is to be seen to first."""
        now = monotonic()
        if now > self.turn_ends or self.core.refusal is not None or self.loop is not _get_running_loop():
            return None
        queue = self.queue
        is_busy = queue.items or queue.heap or len(self.running) + len(self.lingering) >= self.limit
        if is_busy and (queue.blocked or not queue.take_room()):
            return None
        job: AsyncJobFuture[R] = AsyncJobFuture(
            self, options, fn, args, kwargs, copy_context(), now, next(self.tickets)
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
        self.running[job] = attempt = Attempt(self, job)
        if caller is not None:
            attempt.caller, attempt.is_simple = caller, False
        if not EAGER or self.nested >= MAX_NESTED or self.custom_tasks:
            self._start_later(attempt, job)
            return
        if not fresh:
            job._began = now
        if self.turn_ends is NEVER:
            self.turn_ends = now + TURN_SECONDS
            self.loop.call_soon(self._new_turn, context=self.context)
        self.nested += 1
        try:
            task = _Task(attempt.run(fresh), loop=self.loop, name=self.name, context=job._context, eager_start=True)
        finally:
            self.nested -= 1
        if attempt.job is not None:
            self._goes_on(attempt, job, task)

    def _goes_on(self, attempt: Attempt, job: AsyncJob, task: asyncio.Task[None]) -> None:
        """An eager attempt has not ended in its first step."""
        attempt.task = task
        if job._options.timeout is not None:
            self.watch(attempt, job, job._options.timeout)
        if job._told is not None:
            task.cancel()  # it was told in that step, when its task was not known yet

    def _start_later(self, attempt: Attempt, job: AsyncJob) -> None:
        coroutine = attempt.run(None)
        coroutine.send(None)  # to its first line: see there
        if self.custom_tasks:
            attempt.task = self.loop.create_task(coroutine, name=self.name, context=job._context)
        else:
            attempt.task = _Task(coroutine, loop=self.loop, name=self.name, context=job._context)

    def _new_turn(self) -> None:
        self.turn_ends = NEVER
        if self.queue.items or self.queue.heap:
            self.fill()

    def watch(self, attempt: Attempt, job: AsyncJob, seconds: float) -> None:
        """Have the attempt ended when its time is up."""
        attempt.limit = seconds
        ends = job._began + seconds
        self.deadlines.add(job, seconds, ends)
        self.supervision.wake_before(ends)

    # -- room

    def resize(self, max_workers: int) -> None:
        """See `AsyncPool.resize`."""
        if self.core.state is PoolState.CLOSED:
            raise self.core.closed_error()
        self.core.max_workers = max_workers
        self.recount()
        if self.emitter.sinks:
            self.say_capacity()
        if self.is_bound:
            self.fill()

    def loop_lag(self, patience: float) -> float | None:
        """See `Workers`. On the loop itself the answer is known."""
        if not self.is_bound or _get_running_loop() is self.loop:
            return 0.0
        return self.pulse.lag(self.loop, patience)

    # -- the end

    def has_workers(self) -> bool:
        """Whether there is a loop that would notice if the pool ended."""
        return self.is_bound and not self.loop.is_closed() and self.core.pid == os.getpid()


def _forget_jobs() -> None:
    """In a forked child: the jobs at work are the parent's, and code of one that goes on here must not settle it."""
    for core in list(_bound):
        core.running.clear()


_bound: weakref.WeakSet[AsyncWorkers] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_jobs)
