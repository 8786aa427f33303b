"""What a pool tells its sinks. Frozen records; none is made unless a sink listens.

``at`` is `time.monotonic()` in seconds, so that lengths between events are right whatever the wall clock does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steadypool.model.states import Outcome


@dataclass(frozen=True, slots=True)
class Event:
    """What every event has."""

    pool: str
    at: float


@dataclass(frozen=True, slots=True)
class JobEvent(Event):
    """What every event of a job has."""

    job_id: str
    task: str
    attempt: int
    meta: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobSubmitted(JobEvent):
    """The pool accepted the job."""


@dataclass(frozen=True, slots=True)
class JobRejected(Event):
    """The queue was full and the job was refused: it has no id and no outcome."""

    task: str


@dataclass(frozen=True, slots=True)
class JobStarted(JobEvent):
    """An attempt began."""

    worker: str
    waited: float


@dataclass(frozen=True, slots=True)
class JobRetryScheduled(JobEvent):
    """An attempt failed and another follows in *delay* seconds."""

    error: BaseException
    delay: float
    ran: float = 0.0


@dataclass(frozen=True, slots=True)
class JobStopRequested(JobEvent):
    """A running attempt was asked to stop; *cause* is as in `JobContext.cause`."""

    cause: str


@dataclass(frozen=True, slots=True)
class JobStuck(JobEvent):
    """The job went on after the grace; it is left behind. *stack* is where it was, as text."""

    stack: str


@dataclass(frozen=True, slots=True)
class JobProgressed(JobEvent):
    """The job reported how far it is."""

    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class JobEnded(JobEvent):
    """The job has its outcome. There is one subclass for each."""

    ran: float
    error: BaseException | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class JobSucceeded(JobEnded):
    """It returned."""


@dataclass(frozen=True, slots=True)
class JobFailed(JobEnded):
    """It raised, and no retry was left."""


@dataclass(frozen=True, slots=True)
class JobTimedOut(JobEnded):
    """A time limit passed."""


@dataclass(frozen=True, slots=True)
class JobCancelled(JobEnded):
    """It was cancelled."""


@dataclass(frozen=True, slots=True)
class JobCrashed(JobEnded):
    """Its worker process died."""


@dataclass(frozen=True, slots=True)
class JobReturned(JobEnded):
    """It never started and was handed back."""


@dataclass(frozen=True, slots=True)
class JobInterrupted(JobEnded):
    """A drain stopped it, or left it stuck."""


ENDINGS: dict[Outcome, type[JobEnded]] = {
    Outcome.SUCCEEDED: JobSucceeded,
    Outcome.FAILED: JobFailed,
    Outcome.TIMED_OUT: JobTimedOut,
    Outcome.CANCELLED: JobCancelled,
    Outcome.CRASHED: JobCrashed,
    Outcome.RETURNED: JobReturned,
    Outcome.INTERRUPTED: JobInterrupted,
}


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker is ready."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerEnded(Event):
    """A worker left; *reason* says why."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerAbandoned(Event):
    """A worker's job did not stop: the worker is out of the pool until that job ends."""

    worker: str


@dataclass(frozen=True, slots=True)
class CapacityChanged(Event):
    """How many jobs can run at a time has changed: a resize, or too many stuck workers."""

    capacity: int
    max_workers: int


@dataclass(frozen=True, slots=True)
class DrainMayOverrun(Event):
    """A drain would now take *estimate* seconds, which is more than the *seconds* that a signal would give it."""

    estimate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PoolDraining(Event):
    """The pool takes no more jobs; *seconds* is the drain's time limit, if it has one."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class PoolCancelling(Event):
    """The drain's time is up: what waits goes back, what runs was asked to stop."""


@dataclass(frozen=True, slots=True)
class PoolClosing(Event):
    """Every job has its outcome: the pool is closed."""

    on_time: bool


for _event in [value for value in vars().values() if isinstance(value, type) and issubclass(value, Event)]:
    _event.__module__ = "steadypool.events"  # where users find it, and where pickle looks for it
del _event
