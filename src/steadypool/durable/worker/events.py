"""What a durable worker emits, besides the events of its pool. Frozen records; ``pool`` is the worker's
name. ``LOG`` is how a sink says it to people."""

from dataclasses import dataclass
from logging import ERROR, INFO, WARNING
from typing import ClassVar

from steadypool.model.events import Event
from steadypool.model.log_line import LogLine
from steadypool.model.states import Outcome

_FAILED = "job %(job_id)s (%(task)s) %(how)s in attempt %(attempt)s: %(error)s%(place)s"


@dataclass(frozen=True, slots=True)
class WorkerRegistered(Event):
    """The worker may claim jobs: at its start, and again after it lost its lease."""

    LOG: ClassVar[LogLine] = LogLine(INFO, "worker '%(pool)s' is ready")
    number: int


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """An attempt has failed, and another follows in *delay* seconds."""

    LOG: ClassVar[LogLine] = LogLine(INFO, f"{_FAILED}; it is retried in %(delay).1f s")
    job_id: str
    task: str
    queue: str
    attempt: int
    outcome: Outcome
    error: BaseException
    where: str
    delay: float


@dataclass(frozen=True, slots=True)
class JobSnoozed(Event):
    """A job has raised `Snooze`: it runs again in *delay* seconds, and has spent no attempt."""

    LOG: ClassVar[LogLine] = LogLine(INFO, "job %(job_id)s (%(task)s) goes back for %(delay)g s: it was snoozed")
    job_id: str
    task: str
    queue: str
    delay: float


@dataclass(frozen=True, slots=True)
class JobGivenUp(Event):
    """A job is discarded, for *reason*; its last attempt has failed, or its time was up before one."""

    LOG: ClassVar[LogLine] = LogLine(ERROR, f"{_FAILED}; it is discarded: %(reason)s", traceback=True)
    job_id: str
    task: str
    queue: str
    attempt: int
    outcome: Outcome
    error: BaseException
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskUnknown(Event):
    """A task is not known here, or is not for this kind of pool: *jobs* of it wait for a worker that can run it."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING, "this worker cannot run %(task)s: %(jobs)s of its jobs wait for a worker that can%(hint)s"
    )
    task: str
    jobs: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TaskForgotten(Event):
    """No worker has known a task for long: *jobs* of it are discarded, for *reason*."""

    LOG: ClassVar[LogLine] = LogLine(ERROR, "%(jobs)s jobs of %(task)s are discarded: %(reason)s")
    task: str
    jobs: int
    reason: str


@dataclass(frozen=True, slots=True)
class ArgumentsUnknown(Event):
    """A job's arguments do not fit the task as this worker has it, or a process of its pool does not have the task:
    another version has enqueued it.

    The job goes back for *delay* seconds, with its attempt.
    """

    LOG: ClassVar[LogLine] = LogLine(WARNING, "job %(job_id)s goes back for %(delay)g s: %(error)s")
    job_id: str
    task: str
    error: BaseException
    delay: float


@dataclass(frozen=True, slots=True)
class DependencyFailed(Event):
    """A job is cancelled: it *needed* the success of another (an id), which was given up (*state*)."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING, "job %(job_id)s (%(task)s) is cancelled: it needed %(needed)s, which was %(state)s"
    )
    job_id: str
    task: str
    queue: str
    needed: str
    state: str


@dataclass(frozen=True, slots=True)
class BatchFinished(Event):
    """All members of a batch have ended, so many of them *completed*; of all workers, one emits this."""

    LOG: ClassVar[LogLine] = LogLine(
        INFO, "%(batch)s (%(name)s) has finished: %(completed)s completed, %(failed)s failed, %(cancelled)s cancelled"
    )
    batch: str
    name: str
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class ScheduleFired(Event):
    """A schedule has put a job, *late* seconds after *due*. Of any number of workers, the one that did emits this."""

    LOG: ClassVar[LogLine] = LogLine(INFO, "schedule %(schedule)s has put %(job_id)s, %(late).1f s after its time")
    schedule: str
    job_id: str
    due: float
    """In seconds since the epoch, by the engine's clock."""
    late: float


@dataclass(frozen=True, slots=True)
class ScheduleSkipped(Event):
    """A schedule has put no job for so many *ticks*, the first of which was due at *due*, for *reason*."""

    LOG: ClassVar[LogLine] = LogLine(WARNING, "schedule %(schedule)s has skipped %(ticks)s of its ticks: %(reason)s")
    schedule: str
    due: float
    ticks: int
    reason: str


@dataclass(frozen=True, slots=True)
class QueuePaused(Event):
    """A worker that ends when nothing is left to do leaves *jobs* where they are, since their queue is paused."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING,
        "queue '%(queue)s' is paused: what waits in it (%(jobs)s) stays there until steadypool jobs resume %(queue)s",
    )
    queue: str
    jobs: int


@dataclass(frozen=True, slots=True)
class WaitsForOthers(Event):
    """A worker that ends when nothing is left to do has nothing to do, but waits for jobs that others run, or that are
    retried later."""

    LOG: ClassVar[LogLine] = LogLine(
        INFO, "nothing to do now; jobs that run elsewhere: %(running)s, to be retried later: %(retryable)s"
    )
    running: int
    retryable: int


@dataclass(frozen=True, slots=True)
class LeaseLost(Event):
    """The worker was paused or cut off for longer than its lease. *jobs* were asked to stop; their results are
    refused."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING, "the lease was lost; running jobs that were asked to stop, to run again elsewhere: %(jobs)s"
    )
    jobs: int


@dataclass(frozen=True, slots=True)
class ResultRefused(Event):
    """The result of a claim came too late: the job belongs to another, or has ended."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING,
        "the result of %(job)s came too late and was refused: another worker has the job, it has ended, or the store "
        "has gone back in time",
    )
    job: str
    token: int


@dataclass(frozen=True, slots=True)
class JobsRecovered(Event):
    """Other workers were gone, and what they held runs again."""

    LOG: ClassVar[LogLine] = LogLine(
        WARNING,
        "worker %(workers)s is gone, its lease has run out; jobs of it that run again: %(returned)s, that are "
        "discarded: %(discarded)s",
    )
    workers: tuple[str, ...]
    returned: int
    discarded: int


@dataclass(frozen=True, slots=True)
class EngineAdvisory(Event):
    """Something about the store, as it is on this machine, that its operator should know. At its start."""

    LOG: ClassVar[LogLine] = LogLine(INFO, "note: %(text)s")
    text: str


@dataclass(frozen=True, slots=True)
class EngineFailed(Event):
    """The engine could not do what it was asked; the worker tries again in *delay* seconds."""

    LOG: ClassVar[LogLine] = LogLine(WARNING, "%(error)s; trying again")
    error: Exception
    delay: float


@dataclass(frozen=True, slots=True)
class EngineRecovered(Event):
    """The engine answers again, after *seconds*."""

    LOG: ClassVar[LogLine] = LogLine(WARNING, "the database answers again after %(seconds).1f s")
    seconds: float


@dataclass(frozen=True, slots=True)
class SinkFailed(Event):
    """A sink has raised *error* when it got an event of the kind *got*. It stays subscribed."""

    LOG: ClassVar[LogLine] = LogLine(ERROR, "the sink %(sink)s could not take %(got)s: %(error)s", traceback=True)
    sink: str
    got: str
    error: Exception


for _event in [value for value in vars().values() if isinstance(value, type) and issubclass(value, Event)]:
    _event.__module__ = "steadypool.events"  # as those of a pool
del _event
