"""A core whose workers each hold their jobs in a ``hand``: what threads and processes have in common there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from steadypool.model.clock import monotonic
from steadypool.model.lazy_reports import reports
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.core import Core, Job
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.supervisor import supervise
from steadypool.pools.threads.worker import ThreadWorker, here
from steadypool.primitives.job_context import set_finder
from steadypool.primitives.thread_start import has_begun

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob


class HandCore(Core):
    """Finds jobs in hands, takes them out, and lets a caller run one itself."""

    workers: set[Any]
    stuck: dict[Any, Job]

    def __init__(self, settings: Settings, max_workers: int) -> None:
        super().__init__(settings, max_workers)
        self.callers: set[ThreadWorker] = set()
        """Threads of other people that run a job themselves, since the queue was full."""
        self._supervisor: threading.Thread | None = None
        self._no_thread = ""
        """Why there is none."""

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
        with self.lock:
            if job not in worker.hand:
                return False
            # Before it leaves the hand: the job finds itself there or here, and looks without the lock.
            worker.taken_name = job._task_name
            worker.taken_arguments = self.user_calls.plain_arguments_of(job)
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
        with self.lock:
            workers = [*self.workers, *self.callers]
        return [job for worker in workers for job in worker.running()]

    def succeeded_in_workers(self) -> int:
        """Successes that workers have counted themselves. The lock is held."""
        return sum(worker.succeeded for worker in (*self.workers, *self.callers))

    def in_grace(self) -> bool:
        """Whether a worker still runs a job that is settled already, and has not been given up."""
        with self.lock:
            return any(worker.taken is not None for worker in (*self.workers, *self.callers) if not worker.left)

    def stuck_rows(self) -> tuple[StuckJob, ...]:
        """Every job that is settled and still runs. The lock is held."""
        running = (*self.workers, *self.callers)
        graceful = {worker: worker.taken for worker in running if worker.taken is not None and not worker.left}
        return tuple(self._row(worker, job) for worker, job in {**self.stuck, **graceful}.items())

    def running_rows(self) -> tuple[StuckJob, ...]:
        """The same for every job that runs, most of which may. Not under the lock: stacks of processes take a while."""
        with self.lock:
            self.held_jobs()  # makes jobs of what is one only when somebody asks
            busy = {worker: worker.taken or next(iter(worker.running()), None) for worker in self._all_workers()}
            runs = {**self.stuck, **{worker: job for worker, job in busy.items() if job is not None}}
        return tuple(self._row(worker, job) for worker, job in runs.items())

    def _row(self, worker: Any, job: Job) -> StuckJob:
        # Its name first: a job that ends meanwhile forgets what it was made of.
        name = worker.taken_name or job._task_name
        shown = worker.taken_arguments if worker.taken is job else self.user_calls.plain_arguments_of(job)
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
        return (worker is not None and worker.core is self) or getattr(here, "courier_of", None) is self

    def mark_own_thread(self) -> None:
        """The calling thread runs callbacks of this pool from now on."""
        here.courier_of = self

    def run_in_caller(self, job: Job) -> None:
        """Run a job on the calling thread, with time limits, books and all, as ``on_full="caller_runs"`` has it."""
        worker = ThreadWorker(self, f"{threading.current_thread().name} (caller)")
        worker.thread = threading.current_thread()
        with self.lock:
            if self.state is PoolState.CLOSED:
                self._drop_alarm(job)
                self.counts.withdraw()
                raise self.closed_error()
            self.callers.add(worker)
        before, find_before = getattr(here, "worker", None), set_finder(worker.context)
        here.worker = worker
        try:
            worker.run(job)
        finally:
            here.worker = before
            set_finder(find_before)
            with self.lock:
                self.take_off(worker)
                self.stuck.pop(worker, None)
                self.recount()
            if self.state is not PoolState.OPEN:
                self.bell.ring()
        cause = job._exception.__cause__ if job._exception is not None else None
        if isinstance(cause, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise cause  # the job is settled; but Ctrl-C was meant for the program

    def take_off(self, worker: Any) -> None:
        """The worker leaves: keep what it has counted. The lock is held."""
        self.workers.discard(worker)
        self.callers.discard(worker)
        self.counts.ended[Outcome.SUCCEEDED] += worker.succeeded
        worker.succeeded = 0

    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""
        raise NotImplementedError

    # -- the supervisor

    def supervise(self) -> None:
        """Start the supervisor if there is none."""
        if self.supervised:
            return
        thread = threading.Thread(target=supervise, args=(self,), name=f"{self.name}-supervisor", daemon=True)
        try:
            with self.lock:
                # Another thread may have come first since the look above.
                if self.supervised or self.state is PoolState.CLOSED:  # type: ignore[redundant-expr]
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
        if not self.supervised and self.state is PoolState.OPEN:
            raise RuntimeError(f"no thread can be started for the supervisor of pool {self.name!r}: {self._no_thread}")

    def supervise_here(self) -> None:
        """Do the supervisor's work on this thread, until the pool is closed."""
        supervise(self)
