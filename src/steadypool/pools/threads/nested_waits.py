"""A job that waits for jobs of its own pool: on threads it lends its place to a spare worker meanwhile.

Otherwise a pool whose every job waits for one that has no place could never go on. How much can be lent is a rule
(`rules.capacity`); where even that is not enough, the wait raises instead of lasting for ever.
"""

from __future__ import annotations

import os

from steadypool.model.errors import WouldDeadlock
from steadypool.pools.core.core import Core
from steadypool.pools.core.job_errors import forked_error
from steadypool.pools.core.shared import Job
from steadypool.pools.threads.worker import Crew, JobRunner, ThreadWorker, here
from steadypool.primitives.wait_circle import closes_circle
from steadypool.rules.capacity import lent_limit


class PlainWaits:
    """Waits for the jobs of a pool whose workers are no threads of this process. See `pools.core.workers.Waits`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def is_own_thread(self) -> bool:
        """Whether the calling thread runs a job or a callback of this pool."""
        worker = getattr(here, "worker", None)
        return (worker is not None and worker.core is self._core) or self._core.is_marked_thread()

    def begin_wait(self, job: Job | None) -> object:
        """A job in a worker process cannot wait for this pool; other threads may."""
        if self._core.pid != os.getpid():
            raise forked_error(self._core)
        return None

    def end_wait(self, waiting: object) -> None:
        """Nothing was lent."""

    def expect_wait(self) -> None:
        """Nothing is lent."""


class NestedWaits(PlainWaits):
    """Waits of jobs that run on threads."""

    def __init__(self, workers: Crew) -> None:
        super().__init__(workers.core)
        self._workers = workers
        self.lent = 0
        """How many places are lent."""

    def begin_wait(self, job: Job | None) -> ThreadWorker | None:
        """Let a job that waits for its own pool lend its place to a spare worker while it waits."""
        super().begin_wait(job)
        worker = self._lender()
        if worker is None:
            return None
        with self._core.lock:
            if job is not None and closes_circle(worker, job, _runner_of):
                raise WouldDeadlock(f"job {job.job_id} would wait for itself, through the jobs it waits for")
            worker.waiting_for = job
            self._lend(worker)
        return worker

    def end_wait(self, waiting: object) -> None:
        """The wait is over: there may be a worker too many now; one leaves when it has no job."""
        if isinstance(waiting, ThreadWorker):
            with self._core.lock:
                self.take_back(waiting)
            if self._workers.leaving:
                self._workers.wake_all_workers()

    def expect_wait(self) -> None:
        """A job uses the standard library's ``wait`` or ``as_completed`` on its own pool: lend until it ends."""
        worker = self._lender()
        if worker is not None:
            with self._core.lock:
                self._lend(worker)
                worker.lent_until_end = True
                self._workers.recount()

    def take_back(self, worker: ThreadWorker) -> None:
        """The worker needs its place itself, or has none any more. The lock is held."""
        if worker.lending:
            worker.lending = worker.lent_until_end = False
            worker.waiting_for = None
            self.lent -= 1
            self._workers.recount()

    def _lender(self) -> ThreadWorker | None:
        """The worker whose job the calling thread runs, if its place is not lent yet."""
        worker: ThreadWorker | None = getattr(here, "lender", None)
        return None if worker is None or worker not in self._workers.workers or worker.lending else worker

    def _lend(self, worker: ThreadWorker) -> None:
        workers = self._workers
        worker.lending = True
        self.lent += 1
        workers.recount()
        workers.starts.catch_up()
        if all(w.lending for w in workers.workers) and len(workers.workers) >= workers.allowed():
            self.take_back(worker)
            raise WouldDeadlock(
                f"all {len(workers.workers)} workers of pool {self._core.name!r}, "
                f"{lent_limit(self._core.max_workers)} spare ones included, wait for jobs of the same pool: no worker "
                "is left to run them. Submit them to another pool, or wait for them outside of the job."
            )


def _runner_of(job: Job) -> JobRunner | None:
    """What runs the job, if a thread does."""
    runner = job._worker
    return runner if isinstance(runner, JobRunner) and job in runner.hand else None
