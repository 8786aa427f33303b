"""What a kind of pool adds to the common core: workers, and how to reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steadypool.primitives.future import JobFuture

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob

Job = JobFuture[Any]


class Driver:
    """The questions that `pools.core.core` and `pools.core.supervisor` ask of a kind of worker."""

    kind: str
    """What the workers are: ``"threads"``, ``"processes"`` or ``"asyncio"``."""
    stuck: dict[Any, Any]
    """The workers left behind, each with the job that did not stop."""

    def wake_worker(self) -> None:
        """A job was put into the queue: have a worker take it."""
        raise NotImplementedError

    def wake_all_workers(self) -> None:
        """Have every idle worker look at the pool's state."""
        raise NotImplementedError

    def holds(self, job: Job) -> bool:
        """Whether a worker holds the job."""
        raise NotImplementedError

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        raise NotImplementedError

    def stop_attempt(self, job: Job, cause: str) -> None:
        """Tell the attempt to stop, however a worker of this kind is told. The lock is held."""
        job._tell(cause)

    def give_up_on(self, worker: Any, job: Job) -> None:
        """The grace is over: leave the worker behind, or kill it. The lock is not held."""
        raise NotImplementedError

    def still_runs(self, worker: Any, job: Job) -> bool:
        """Whether the worker has not come back from this job yet."""
        raise NotImplementedError

    def stack_of(self, worker: Any, job: Job) -> tuple[str, str]:
        """Where the job is now: its stack as text, and the innermost place."""
        raise NotImplementedError

    def held_jobs(self) -> list[Job]:
        """The jobs in workers' hands."""
        raise NotImplementedError

    def count_running(self, held: list[Job]) -> int:
        """How many of the `held_jobs` a worker runs."""
        return len(held)

    def jobs_with_limits(self) -> list[Job]:
        """The jobs in workers' hands whose attempts have a time limit."""
        return [job for job in self.held_jobs() if job._attempt_ends is not None]

    def succeeded_in_workers(self) -> int:
        """Successes that workers have counted themselves. The lock is held."""
        raise NotImplementedError

    def in_grace(self) -> bool:
        """Whether a worker still runs a job that is settled already, and has not been given up."""
        raise NotImplementedError

    def worker_facts(self) -> dict[str, Any]:
        """What `PoolStats` says of the workers. The lock is held."""
        raise NotImplementedError

    def stuck_rows(self) -> tuple[StuckJob, ...]:
        """Every job that is settled and still runs. The lock is held."""
        raise NotImplementedError

    def running_rows(self) -> tuple[StuckJob, ...]:
        """A row, with its stack, for every job that runs, whether it may or not. The lock is not held."""
        raise NotImplementedError

    def all_idle(self) -> bool:
        """Whether no worker is on the way with a job. Only asked when queue and agenda are empty."""
        raise NotImplementedError

    def prepare(self, job: Job) -> bool:
        """Make a new job ready for its worker; false if that failed, and the job is settled."""
        return True

    def reclaim(self, job: Job) -> bool:
        """Take back a job that was sent to a worker but has not begun; false if it cannot be."""
        return False

    def reclaim_waiting(self) -> None:
        """Put every such job back into the queue."""

    def attempt_ends(self, job: Job) -> float | None:
        """When the present attempt's time is up."""
        return job._attempt_ends

    def is_own_thread(self) -> bool:
        """Whether the calling thread runs a job or a callback of this pool."""
        raise NotImplementedError

    def mark_own_thread(self) -> None:
        """The calling thread runs callbacks of this pool from now on."""
        raise NotImplementedError

    def has_begun(self, job: Job) -> bool:
        """See `primitives.future.Owner`. Where a worker takes a job in order to run it, it has."""
        return True

    def begin_wait(self, job: Job) -> object:
        """See `primitives.future.Owner`."""
        raise NotImplementedError

    def end_wait(self, waiting: object) -> None:
        """See `primitives.future.Owner`."""
        raise NotImplementedError

    def expect_wait(self) -> None:
        """See `primitives.future.Owner`."""

    def supervise(self) -> None:
        """Have a supervisor from now on, if there is none yet and one can be had."""
        raise NotImplementedError

    def need_supervisor(self) -> None:
        """As `supervise`, for a job that cannot do without.

        Raises:
            RuntimeError: no thread can be started.
        """
        self.supervise()

    def supervise_here(self) -> None:
        """Do the supervisor's work on this thread, until the pool is closed."""
        raise NotImplementedError

    def join(self, until: float | None) -> None:
        """Wait for the workers that are not stuck to end, until *until* (`time.monotonic`) at most."""
        raise NotImplementedError

    def rest(self, until: float | None) -> None:
        """The supervisor has nothing to do until *until* (`time.monotonic`), or until it is rung."""
        raise NotImplementedError

    def places(self) -> int:
        """How many jobs can run at a time, the stuck workers left out."""
        raise NotImplementedError

    def loop_lag(self, patience: float) -> float | None:
        """Seconds for which the pool's event loop has not answered, waiting up to *patience*; ``None``: it is closed.

        A pool without one answers 0.0.
        """
        return 0.0

    def hear_all(self) -> None:
        """Take in what has come from workers and was not looked at yet, before anything is judged."""

    def shut_down_workers(self) -> None:
        """The pool is closed, and the supervisor about to end."""

    def has_workers(self) -> bool:
        """Whether there is a worker, so that somebody would notice if the pool ends."""
        raise NotImplementedError
