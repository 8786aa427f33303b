"""Workers that each hold their jobs in a ``hand``: what threads and processes have in common there."""

from __future__ import annotations

import _thread
import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import reports
from steadypool.model.options import TaskOptions
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.admission import resolve
from steadypool.pools.core.core import Core
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job, Wakeup
from steadypool.pools.core.supervisor import supervise
from steadypool.pools.core.workers import Workers
from steadypool.pools.threads.worker import JobRunner, here
from steadypool.primitives.job_context import set_finder
from steadypool.primitives.thread_start import has_begun

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob

R = TypeVar("R")


class HandWorkers(Workers):
    """Finds jobs in hands, takes them out, and lets a caller run one itself."""

    workers: set[Any]
    stuck: dict[Any, Job]

    def __init__(self, settings: Settings, max_workers: int, bell: Wakeup) -> None:
        self.core = Core(settings, max_workers, self, bell)
        self.may_grow = True
        """Whether another worker may be started."""
        self.supervised = False
        self.callers: set[JobRunner] = set()
        """Threads of other people that run a job themselves, since the queue was full."""
        self._supervisor: threading.Thread | None = None
        self._no_thread = ""
        """Why there is none."""

    # -- jobs on their way

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """See `Workers.resolve`."""
        return resolve(fn, self.core.options)

    def take_waiting(self) -> Job | None:
        """Take the job that is next in the queue."""
        job: Job | None = self.core.queue.take()
        return job

    def call_back(self, job: Job) -> None:
        """Run its done-callbacks, elsewhere if this thread must go on."""
        self.core.user_calls.deliver(job._run_callbacks, f"a done-callback of job {job.job_id}")

    def cancel_from_outside(self, job: Job) -> None:
        """Have a job cancelled, one that runs too, by a thread that must run no code of the user's."""
        with self.core.user_calls.hurrying():
            self.core.cancel(job, True)

    # -- hands

    def holds(self, job: Job) -> bool:
        """Whether a worker holds the job."""
        worker = job._worker
        return worker is not None and job in worker.hand

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        worker = job._worker
        if worker is None:
            return False
        with self.core.lock:
            if job not in worker.hand:
                return False
            # Before it leaves the hand: the job finds itself there or here, and looks without the lock.
            worker.taken_name = job._task_name
            worker.taken_arguments = self.core.user_calls.plain_arguments_of(job)
            worker.taken = job
            try:
                worker.hand.remove(job)
            except ValueError:
                worker.taken = worker.taken_name = None
                return False
            return True

    def still_runs(self, worker: Any, job: Job) -> bool:
        """Whether the worker has not come back from this job yet."""
        return worker.taken is job or job in worker.hand

    def stack_of(self, worker: Any, job: Job) -> tuple[str, str]:
        """Where the job is now."""
        stack, where = worker.stack(job)
        name = worker.taken_name or job._task_name
        return stack or f"  in {name}, which has no Python frame of its own\n", where

    def held_jobs(self) -> list[Job]:
        """The jobs that run."""
        with self.core.lock:
            workers = [*self.workers, *self.callers]
        return [job for worker in workers for job in worker.running()]

    def succeeded_in_workers(self) -> int:
        """Successes that workers have counted themselves. The lock is held."""
        return sum(worker.succeeded for worker in (*self.workers, *self.callers))

    def in_grace(self) -> bool:
        """Whether a worker still runs a job that is settled already, and has not been given up."""
        with self.core.lock:
            return any(worker.taken is not None for worker in (*self.workers, *self.callers) if not worker.left)

    def stuck_rows(self) -> tuple[StuckJob, ...]:
        """Every job that is settled and still runs. The lock is held."""
        running = (*self.workers, *self.callers)
        graceful = {worker: worker.taken for worker in running if worker.taken is not None and not worker.left}
        return tuple(self._row(worker, job) for worker, job in {**self.stuck, **graceful}.items())

    def running_rows(self) -> tuple[StuckJob, ...]:
        """The same for every job that runs, most of which may. Not under the lock: stacks of processes take a while."""
        with self.core.lock:
            self.held_jobs()  # makes jobs of what is one only when somebody asks
            busy = {worker: worker.taken or next(iter(worker.running()), None) for worker in self._all_workers()}
            runs = {**self.stuck, **{worker: job for worker, job in busy.items() if job is not None}}
        return tuple(self._row(worker, job) for worker, job in runs.items())

    def _row(self, worker: Any, job: Job) -> StuckJob:
        # Its name first: a job that ends meanwhile forgets what it was made of.
        name = worker.taken_name or job._task_name
        shown = worker.taken_arguments if worker.taken is job else self.core.user_calls.plain_arguments_of(job)
        stack, _ = self.stack_of(worker, job)
        ran = monotonic() - job._began
        return reports.StuckJob(job.job_id, name, ran, stack, job._told or "", job._options.meta, shown)

    def _all_workers(self) -> list[Any]:
        """Those of the pool, by name, and callers. The lock is held."""
        return [*sorted(self.workers, key=lambda worker: worker.name), *self.callers]

    # -- threads of this process

    def is_own_thread(self) -> bool:
        """Whether the calling thread runs a job or a callback of this pool."""
        worker = getattr(here, "worker", None)
        return (worker is not None and worker.core is self.core) or getattr(here, "courier_of", None) is self

    def mark_own_thread(self) -> None:
        """The calling thread runs callbacks of this pool from now on."""
        here.courier_of = self

    def run_in_caller(self, job: Job) -> None:
        """Run a job on the calling thread, with time limits, books and all, as ``on_full="caller_runs"`` has it."""
        worker = JobRunner(self.core, f"{threading.current_thread().name} (caller)")
        with self.core.lock:
            if self.core.state is PoolState.CLOSED:
                self.core.admission.withdraw(job)
                raise self.core.closed_error()
            self.callers.add(worker)
        before, find_before = getattr(here, "worker", None), set_finder(worker.context)
        here.worker = worker
        try:
            worker.run(job)
        finally:
            here.worker = before
            set_finder(find_before)
            with self.core.lock:
                self.take_off(worker)
                self.stuck.pop(worker, None)
                self.recount()
            if self.core.state is not PoolState.OPEN:
                self.core.bell.ring()
        cause = job._exception.__cause__ if job._exception is not None else None
        if isinstance(cause, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise cause  # the job is settled; but Ctrl-C was meant for the program

    def take_off(self, worker: Any) -> None:
        """The worker leaves: keep what it has counted. The lock is held."""
        self.workers.discard(worker)
        self.callers.discard(worker)
        self.core.counts.ended[Outcome.SUCCEEDED] += worker.succeeded
        worker.succeeded = 0

    @abstractmethod
    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""

    # -- the supervisor

    def supervise(self) -> None:
        """Start the supervisor if there is none."""
        if self.supervised:
            return
        thread = threading.Thread(target=supervise, args=(self.core,), name=f"{self.core.name}-supervisor", daemon=True)
        try:
            with self.core.lock:
                # Another thread may have come first since the look above.
                if self.supervised or self.core.state is PoolState.CLOSED:  # type: ignore[redundant-expr]
                    return
                self._supervisor = thread
                self.supervised = True
            thread.start()
        except RuntimeError as error:
            # At interpreter exit no thread can be started: the exiting thread supervises the drain.
            self.supervised, self._supervisor = False, None
            self._no_thread = str(error)
        except BaseException:  # Ctrl-C: the next to need one starts it
            if self._supervisor is thread and not has_begun(thread):
                self.supervised, self._supervisor = False, None
            raise

    def need_supervisor(self) -> None:
        """As `supervise`, for a job of an open pool that cannot do without.

        Raises:
            RuntimeError: no thread can be started.
        """
        self.supervise()
        if not self.supervised and self.core.state is PoolState.OPEN:
            raise RuntimeError(
                f"no thread can be started for the supervisor of pool {self.core.name!r}: {self._no_thread}"
            )

    def drain_requested(self) -> None:
        """Ring the supervisor, or have one started by a thread of its own."""
        if self.supervised:
            self.core.bell.ring()
            return
        # Starting a `threading.Thread` takes locks that the interrupted code may hold; this does not.
        with suppress(RuntimeError):  # no thread to be had at interpreter exit: whoever waits will supervise
            _thread.start_new_thread(self._start_supervising, ())

    def _start_supervising(self) -> None:
        self.supervise()
        self.core.bell.ring()

    def wait_closed(self, limit: float | None) -> None:
        """Wait for the supervisor to close the pool; without one, or once *limit* has passed, do its work here."""
        self.supervise()
        if not self.supervised:
            supervise(self.core)
        if not self.core.closed.wait(None if limit is None else max(0.0, limit - monotonic())):
            self.core.emitter.silence()  # a sink may be what holds the supervisor up
            supervise(self.core)

    def after_fork(self) -> None:
        """No worker is started in a forked child."""
        self.may_grow = False
