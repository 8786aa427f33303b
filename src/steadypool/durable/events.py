"""What a durable worker tells its sinks, besides what its pool tells them. Frozen records; ``pool`` is the worker's
name."""

from __future__ import annotations

from dataclasses import dataclass

from steadypool.words.events import Event


@dataclass(frozen=True, slots=True)
class WorkerRegistered(Event):
    """The worker may claim jobs: at its start, and again after it lost its lease."""

    number: int


@dataclass(frozen=True, slots=True)
class TaskUnknown(Event):
    """A job's task is not known here, or is not for this kind of pool: the job goes back for *delay* seconds."""

    job_id: str
    task: str
    delay: float


@dataclass(frozen=True, slots=True)
class LeaseLost(Event):
    """The worker was paused or cut off for longer than its lease. *jobs* were told to stop; their results are
    refused."""

    jobs: int


@dataclass(frozen=True, slots=True)
class ResultRefused(Event):
    """The result of a claim came too late: the job belongs to another, or has ended."""

    job: int
    token: int


@dataclass(frozen=True, slots=True)
class JobsTakenBack(Event):
    """Other workers were gone, and what they held runs again."""

    workers: tuple[str, ...]
    returned: int
    discarded: int


@dataclass(frozen=True, slots=True)
class EngineCaution(Event):
    """Something about the store, as it is on this machine, that whoever runs the worker should know. At its start."""

    text: str


@dataclass(frozen=True, slots=True)
class EngineTrouble(Event):
    """The engine could not do what it was asked; the worker tries again in *delay* seconds."""

    error: Exception
    delay: float


@dataclass(frozen=True, slots=True)
class EngineBack(Event):
    """The engine answers again, after *seconds*."""

    seconds: float
