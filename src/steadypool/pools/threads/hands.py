"""Workers that each hold their jobs in a ``hand``: what threads and processes have in common there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from steadypool.model.options import TaskOptions
from steadypool.model.states import Outcome
from steadypool.pools.core.admission import resolve
from steadypool.pools.core.core import Core
from steadypool.pools.core.report_rows import stuck_row
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job, Wakeup
from steadypool.pools.core.workers import Workers
from steadypool.pools.threads.nested_waits import PlainWaits
from steadypool.pools.threads.supervisor_thread import SupervisorThread
from steadypool.pools.threads.worker import JobRunner

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob

R = TypeVar("R")


class HandWorkers(Workers):
    """Finds jobs in hands, takes them out, and lets a caller run one itself."""

    waits: PlainWaits
    workers: set[Any]
    stuck: dict[Any, Job]

    def __init__(self, settings: Settings, max_workers: int, bell: Wakeup) -> None:
        self.core = Core(settings, max_workers, self, bell)
        self.may_grow = True
        """Whether another worker may be started."""
        self.callers: set[JobRunner] = set()
        """Threads of other people that run a job themselves, since the queue was full."""
        self.supervision = SupervisorThread(self.core)

    # -- jobs on their way

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """See `Workers.resolve`."""
        return resolve(fn, self.core.options)

    def take_waiting(self) -> Job | None:
        """Take the job that is next in the queue."""
        job: Job | None = self.core.queue.take_to_settle()
        return job

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
        return tuple(_row(self, worker, job) for worker, job in {**self.stuck, **graceful}.items())

    def running_rows(self) -> tuple[StuckJob, ...]:
        """The same for every job that runs, most of which may. Not under the lock: stacks of processes take a while."""
        with self.core.lock:
            self.held_jobs()  # makes jobs of what is one only when a caller asks
            busy = {
                worker: worker.taken or next(iter(worker.running()), None)
                for worker in (*sorted(self.workers, key=lambda worker: worker.name), *self.callers)
            }
            runs = {**self.stuck, **{worker: job for worker, job in busy.items() if job is not None}}
        return tuple(_row(self, worker, job) for worker, job in runs.items())

    def take_off(self, worker: Any) -> None:
        """The worker leaves: keep what it has counted. The lock is held."""
        self.workers.discard(worker)
        self.callers.discard(worker)
        self.core.counts.ended[Outcome.SUCCEEDED] += worker.succeeded
        worker.succeeded = 0

    @abstractmethod
    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""

    def after_fork(self) -> None:
        """No worker is started in a forked child."""
        self.may_grow = False


def _row(workers: HandWorkers, worker: Any, job: Job) -> StuckJob:
    # Its name first: a job that ends meanwhile forgets what it was made of.
    name = worker.taken_name or job._task_name
    shown = worker.taken_arguments if worker.taken is job else workers.core.user_calls.plain_arguments_of(job)
    stack, _ = workers.stack_of(worker, job)
    return stuck_row(job, name, shown, stack)
