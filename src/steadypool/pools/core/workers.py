"""What a pool's core asks of its kind of worker: threads, processes, or tasks on an event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

from steadypool.model.options import TaskOptions
from steadypool.pools.core.shared import Job

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob, WorkerStats

R = TypeVar("R")


class WorkerFacts(TypedDict, total=False):
    """What `PoolStats` says of the workers."""

    stuck: int
    workers: int
    capacity: int
    restarts: int
    worker_rows: tuple[WorkerStats, ...]


class Supervision(Protocol):
    """How the control loop of a pool runs: `pools.core.supervisor`."""

    def supervise(self) -> None:
        """Have a supervisor from now on, if there is none yet and one can be had."""

    def need_supervisor(self) -> None:
        """As `supervise`, for a job that cannot do without.

        Raises:
            RuntimeError: no thread can be started.
        """

    def look_soon(self) -> None:
        """Have a supervisor look: for a drain that was asked for, or a gate that is open again. From any thread, and
        without a lock, since a signal handler may call it."""

    def wait_closed(self, limit: float | None) -> None:
        """Wait until the pool is closed, until *limit* (`time.monotonic`) at most; then see to it on this thread."""

    def cancel_from_outside(self, job: Job) -> None:
        """Have a job cancelled, one that runs too, by a thread that must run no code of the user's."""


class Waits(Protocol):
    """Jobs and callbacks that wait for jobs of their own pool."""

    def is_own_thread(self) -> bool:
        """Whether the calling thread runs a job or a callback of this pool."""

    def begin_wait(self, job: Job | None) -> object:
        """See `primitives.future.Owner`."""

    def end_wait(self, waiting: object) -> None:
        """See `primitives.future.Owner`."""

    def expect_wait(self) -> None:
        """See `primitives.future.Owner`."""


class Entry(Protocol):
    """A job, or what stands for several."""

    _submitted: float

    @property
    def _task_name(self) -> str:
        """What reports call its task."""


class SentJobs:
    """Jobs that were sent to workers out of this process, which may not have begun there.

    The answers given here hold where a worker takes a job in order to run it: no job is on its way.
    """

    def reclaim(self, job: Job) -> bool:
        """Take back a job that has not begun; false if it cannot be."""
        return False

    def reclaim_waiting(self) -> None:
        """Put every such job back into the queue."""

    def hear_all(self) -> None:
        """Take in what has come from workers and was not looked at yet, before anything is judged."""

    def retries_once_killed(self, job: Job) -> bool:
        """The grace is over: whether the worker was killed, and the job goes on from its death."""
        return False

    def has_begun(self, job: Job) -> bool:
        """See `primitives.future.Owner`."""
        return True

    def count_running(self, held: list[Job]) -> int:
        """How many of the jobs in workers' hands a worker runs."""
        return len(held)

    def sent_jobs(self) -> Sequence[Entry]:
        """What has not begun. The lock is held."""
        return ()

    def jobs_in(self, entry: Any) -> int:
        """How many jobs one entry of the queue stands for."""
        return 1


class Workers(Protocol):
    """The workers of one pool. A kind derives from this, and takes the answers that are given here if they hold."""

    kind: str
    """What the workers are: ``"threads"``, ``"processes"`` or ``"asyncio"``."""
    stuck: dict[Any, Any]
    """The workers left behind, each with the job that did not stop."""
    supervision: Supervision
    waits: Waits
    sent: SentJobs = SentJobs()

    # -- jobs on their way to a worker

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """What to run for *fn*, and its options over the pool's own.

        Raises:
            TypeError: if *fn* is nothing that a worker can run.
        """
        ...

    def prepare(self, job: Job) -> bool:
        """Make a new job ready for its worker; false if that failed, and the job is settled."""
        return True

    def wake_worker(self) -> None:
        """A job was put into the queue: have a worker take it."""
        ...

    def wake_all_workers(self) -> None:
        """Have every idle worker look at the pool's state."""
        return

    def take_waiting(self) -> Job | None:
        """Take the job that is next in the queue, to settle it without running it; ``None`` if there is none."""
        ...

    # -- jobs in workers' hands

    def holds(self, job: Job) -> bool:
        """Whether a worker holds the job."""
        ...

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        ...

    def stop_attempt(self, job: Job, cause: str) -> None:
        """Ask the attempt to stop, in the way of this kind of worker. The lock is held."""
        job._tell(cause)

    def give_up_on(self, worker: Any, job: Job) -> None:
        """The grace is over: leave the worker behind, or kill it. The lock is not held."""
        ...

    def still_runs(self, worker: Any, job: Job) -> bool:
        """Whether the worker has not come back from this job yet."""
        ...

    def stack_of(self, worker: Any, job: Job) -> tuple[str, str]:
        """Where the job is now: its stack as text, and the innermost place."""
        ...

    def attempt_ends(self, job: Job) -> float | None:
        """When the present attempt's time is up."""
        return job._attempt_ends

    # -- the books

    def held_jobs(self) -> list[Job]:
        """The jobs in workers' hands."""
        ...

    def jobs_with_limits(self) -> list[Job]:
        """The jobs in workers' hands whose attempts have a time limit."""
        return [job for job in self.held_jobs() if job._attempt_ends is not None]

    def succeeded_in_workers(self) -> int:
        """Successes that workers have counted themselves. The lock is held."""
        ...

    def in_grace(self) -> bool:
        """Whether a worker still runs a job that is settled already, and has not been given up."""
        ...

    def all_idle(self) -> bool:
        """Whether no worker is on the way with a job. Only asked when neither the queue nor the timers hold a job."""
        ...

    def places(self) -> int:
        """How many jobs can run at a time, the stuck workers left out."""
        ...

    def worker_facts(self) -> WorkerFacts:
        """What `PoolStats` says of the workers. The lock is held."""
        ...

    def stuck_rows(self) -> tuple[StuckJob, ...]:
        """Every job that is settled and still runs. The lock is held."""
        ...

    def running_rows(self) -> tuple[StuckJob, ...]:
        """A row, with its stack, for every job that runs, whether it may or not. The lock is not held."""
        ...

    # -- threads and loops

    def loop_lag(self, patience: float) -> float | None:
        """Seconds for which the pool's event loop has not answered, waiting up to *patience*; ``None``: it is closed.

        A pool without one answers 0.0.
        """
        return 0.0

    # -- the end

    def rest(self, until: float | None) -> None:
        """The supervisor has nothing to do until *until* (`time.monotonic`), or until it is rung."""
        return

    def shut_down_workers(self) -> None:
        """The pool is closed, and the supervisor about to end."""
        return

    def join(self, until: float | None) -> None:
        """Wait for the workers that are not stuck to end, until *until* (`time.monotonic`) at most."""
        return

    def has_workers(self) -> bool:
        """Whether there is a worker, so that the end of the pool would be noticed."""
        ...

    def after_fork(self) -> None:
        """In a forked child, where no worker exists."""
        return
