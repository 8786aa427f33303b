"""Floor 6, the events that pools and durable workers report to their sinks, each loaded when first asked for."""

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.durable.worker.events import *
    from steadypool.model.events import *

__all__ = [
    "ArgumentsUnknown",
    "AttemptFailed",
    "BatchFinished",
    "CapacityChanged",
    "DependencyFailed",
    "DrainMayOverrun",
    "EngineAdvisory",
    "EngineFailed",
    "EngineRecovered",
    "Event",
    "JobCancelled",
    "JobCrashed",
    "JobEnded",
    "JobEvent",
    "JobFailed",
    "JobGivenUp",
    "JobInterrupted",
    "JobProgressed",
    "JobRejected",
    "JobRetryScheduled",
    "JobReturned",
    "JobSnoozed",
    "JobStarted",
    "JobStopRequested",
    "JobStuck",
    "JobSubmitted",
    "JobSucceeded",
    "JobTimedOut",
    "JobsRecovered",
    "LeaseLost",
    "PoolCancelling",
    "PoolClosing",
    "PoolDraining",
    "QueuePaused",
    "ResultRefused",
    "ScheduleFired",
    "ScheduleSkipped",
    "SinkFailed",
    "TaskForgotten",
    "TaskUnknown",
    "WaitsForOthers",
    "WorkerAbandoned",
    "WorkerEnded",
    "WorkerRegistered",
    "WorkerStarted",
]

_OF_DURABLE_WORKERS = (
    "ArgumentsUnknown AttemptFailed BatchFinished DependencyFailed EngineAdvisory EngineFailed EngineRecovered "
    "JobGivenUp JobSnoozed JobsRecovered LeaseLost QueuePaused ResultRefused ScheduleFired ScheduleSkipped "
    "SinkFailed TaskForgotten TaskUnknown WaitsForOthers WorkerRegistered"
)
_PLACES = {
    "steadypool.durable.worker.events": _OF_DURABLE_WORKERS,
    "steadypool.model.events": " ".join({*__all__} - {*_OF_DURABLE_WORKERS.split()}),
}

if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, _PLACES)


def __dir__() -> list[str]:
    """All events, those too that are not loaded yet."""
    return sorted({*globals(), *__all__})
