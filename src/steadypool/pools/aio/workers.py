"""The workers of an `AsyncPool`: tasks, and the common core driven by an event loop instead of threads.

Theory of operation
-------------------
`pools.core.core` and `pools.core.supervisor` decide here what they decide for threads and processes: retries, time
limits, the drain ladder, the books. What differs is how it is waited for, and that everything happens on one thread:
nothing here is atomic in any other way than by not awaiting. (The common core takes its lock, on the control plane
only; no other thread ever has it.)

* **A worker** is an `Attempt`: one task, for one attempt of one job. ``running`` are those whose job has no outcome
  yet, ``lingering`` those whose job is settled and who have their grace, ``stuck`` those who went on after it. The
  first two take up room under ``limit``; a stuck one gives its room to another.
* **submit** starts the job at once if there is room for it. On Python 3.12 and later the task is *eager*: its first
  step runs inside ``submit``, and a job that never waits has ended before ``submit`` returns, without ever going
  through the loop. Two bounds keep that harmless. ``nested``: jobs that submit jobs start them eagerly only so deep,
  and beyond that on the loop's next round, so that the stack cannot grow. ``turn_ends``: when they have taken a
  millisecond together, the submitter has to let the loop go round first, so that nothing else starves.
  The `Launcher` does all of it.
* **The end of an attempt** settles the job, and starts the next one that waits (``fill``).
* **The control plane** is ``step``, called by the loop when something was asked for (``bell``) or is due
  (``alarm``: one timer for the whole pool, moved only when something is due earlier than it rings). Time limits of
  attempts stand in `primitives.deadlines`, everything else that is due on the timers.
* **The watch of the loop** is a task that waits for the pool to close. When it is cancelled, the loop is about to end
  with the pool open (`asyncio.run` cancels all tasks): it drains the pool without patience and says what was lost.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from asyncio.events import _get_running_loop
from collections.abc import Callable
from contextvars import Context
from typing import TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.options import Task, TaskOptions
from steadypool.model.reports import StuckJob
from steadypool.model.states import PoolState
from steadypool.pools.aio.attempts import Attempt, Attempts, Job
from steadypool.pools.aio.functions import check_coroutine_function
from steadypool.pools.aio.future import AsyncJob
from steadypool.pools.aio.launcher import Launcher
from steadypool.pools.aio.loop_lag import Pulse
from steadypool.pools.aio.nested_waits import AsyncWaits
from steadypool.pools.aio.shutdown import watch_loop
from steadypool.pools.aio.supervisor import LoopSupervisor
from steadypool.pools.aio.timers import LoopBell
from steadypool.pools.core.core import Core
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.functions import options_within
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.workers import WorkerFacts, Workers

R = TypeVar("R")


class AsyncWorkers(Workers):
    """The workers of one `AsyncPool`, and its control plane on the loop."""

    kind = "asyncio"

    def __init__(self, settings: Settings, max_workers: int) -> None:
        bell = LoopBell(lambda: self.supervision.step())
        self.core = core = Core(settings, max_workers, self, bell)
        self.name = settings.name
        # Parts that are made later are asked for later.
        fill, wake = (lambda: self.launcher.fill()), (lambda moment: self.supervision.wake_before(moment))
        self.attempts = Attempts(core, fill, wake)
        self.running, self.lingering, self.stuck = self.attempts.running, self.attempts.lingering, self.attempts.stuck
        self.launcher: Launcher = Launcher(self.attempts, self)
        self.supervision: LoopSupervisor = LoopSupervisor(core, bell, self.attempts.deadlines, self.launcher.fill)
        self.waits: AsyncWaits = AsyncWaits(self.attempts)
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment] # until `check_loop` was called
        self.is_bound = False
        self.loop_watch: asyncio.Task[None] | None = None
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
        self.loop = self.attempts.loop = loop
        self.supervision.bind(loop)
        self.launcher.bind(loop)
        _bound.add(self)
        self.attempts.thread_ident = threading.get_ident()
        self.is_bound = True
        if self.core.state is PoolState.OPEN:
            watch = watch_loop(self.core, self.supervision.closed, self.attempts)
            self.loop_watch = asyncio.Task(watch, loop=loop, name=f"{self.name}-loop-watch", context=Context())

    def cancel(self, job: Job, running: bool, cause: str = "cancelled") -> bool:
        """See `AsyncJobFuture.cancel`."""
        return self.core.cancel(job, running, cause)

    def begin_drain(self, seconds: float | None) -> None:
        """Begin a drain now, on the pool's own loop; on any loop, if it was never opened on one."""
        if self.is_bound:
            self.check_loop()
        self.core.requests.append(seconds)
        self.supervision.step()

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """See `Workers`; here it must be a coroutine function."""
        check_coroutine_function(fn)
        if type(fn) is Task:
            return fn.fn, fn.merged(self.core.options)
        carried = options_within(fn)
        return fn, self.core.options if carried is None else carried.over(self.core.options)

    # -- what the core asks

    def take_waiting(self) -> Job | None:
        """See `Workers.take_waiting`."""
        return self.core.queue.take_to_settle()

    def wake_worker(self) -> None:
        """A job was put into the queue."""
        self.launcher.fill()

    def holds(self, job: Job) -> bool:
        """Whether an attempt of the job runs."""
        return job in self.running

    def take_from_worker(self, job: Job) -> bool:
        """The job is to be settled while its attempt still runs."""
        attempt = self.running.pop(job, None)
        if attempt is None:
            return False
        attempt.name = job._task_name
        attempt.arguments = self.core.user_calls.plain_arguments_of(job)
        self.lingering[attempt] = job
        return True

    def stop_attempt(self, job: Job, cause: str) -> None:
        """Cancel the attempt's task."""
        job._tell(cause)
        attempt = self.running.get(job)
        if attempt is not None and attempt.task is not None:
            attempt.task.cancel()

    def still_runs(self, worker: Attempt, job: Job) -> bool:
        """Whether the attempt has not ended yet."""
        return worker in self.lingering or self.running.get(job) is worker

    def give_up_on(self, worker: Attempt, job: Job) -> None:
        """The grace is over: give the room to another."""
        if self.lingering.pop(worker, None) is None:
            return
        self.stuck[worker] = job
        self.core.limits.free(job)
        self.attempts.leave_caller(worker)
        self.attempts.recount()
        if self.core.emitter.sinks:
            stack, _ = self.stack_of(worker, job)
            self.core.emitter.emit(events.JobStuck(self.core.name, monotonic(), *job_facts(job), stack))
            self.core.emitter.emit(events.WorkerAbandoned(self.core.name, monotonic(), worker.worker_name))
            self.attempts.say_capacity()
        self.launcher.fill()

    def held_jobs(self) -> list[Job]:
        """The jobs that run."""
        return list(self.running)

    def succeeded_in_workers(self) -> int:
        """Successes are counted where they happen."""
        return self.attempts.succeeded

    def in_grace(self) -> bool:
        """Whether an attempt goes on whose job is settled, and has not been given up."""
        return bool(self.lingering)

    def all_idle(self) -> bool:
        """Whether nothing runs."""
        return not self.running

    def worker_facts(self) -> WorkerFacts:
        """What `PoolStats` says of the workers."""
        attempts = (*self.running.values(), *self.lingering)
        return {
            "stuck": len(self.stuck),
            "workers": len(attempts),
            "capacity": self.places(),
            "worker_rows": tuple(attempt.row() for attempt in attempts),
        }

    def stuck_rows(self) -> tuple[StuckJob, ...]:
        """Every job that is settled and still runs."""
        return tuple(self.attempts.row(attempt, job) for attempt, job in {**self.stuck, **self.lingering}.items())

    def running_rows(self) -> tuple[StuckJob, ...]:
        """Every job that runs. From any thread."""
        running = ((attempt, job) for job, attempt in self.running.copy().items())
        return (*self.stuck_rows(), *(self.attempts.row(attempt, job) for attempt, job in running))

    def stack_of(self, worker: Attempt, job: Job) -> tuple[str, str]:
        """Where the attempt is."""
        return self.attempts.stack_of(worker, job)

    def attempt_of(self, job: AsyncJob) -> Attempt | None:
        """See `future.Owner`."""
        return self.attempts.attempt_of(job)

    def places(self) -> int:
        """How many jobs can run at a time, the stuck ones left out."""
        return self.attempts.places()

    # -- room

    def resize(self, max_workers: int) -> None:
        """See `AsyncPool.resize`."""
        self.core.set_max_workers(max_workers)
        self.attempts.recount()
        if self.core.emitter.sinks:
            self.attempts.say_capacity()
        if self.is_bound:
            self.launcher.fill()

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
