"""Steadypool: the worker pool that Python programs run in production.

Threads, processes and asyncio under one contract; bounded; every job with an id, a time limit and a context;
failures tracked; a shutdown that always ends and accounts for every job.
"""

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.contrib.status import serve_status
    from steadypool.durable.client.batch import Batch, BatchProgress
    from steadypool.durable.client.bulk import BulkResult
    from steadypool.durable.client.call import Call
    from steadypool.durable.client.chain import Result
    from steadypool.durable.client.handle import JobHandle
    from steadypool.durable.client.queue import Queue
    from steadypool.durable.client.schedule import Cron, Every
    from steadypool.durable.client.schedules import ScheduleHandle
    from steadypool.durable.engine.errors import (
        EngineBusy,
        EngineError,
        EngineFull,
        EngineGone,
        EngineRefused,
        JobDiscarded,
        PayloadRefused,
        SchemaMismatch,
        UnknownBatch,
        UnknownJob,
        UnknownLimit,
        UnknownSchedule,
        WrongState,
    )
    from steadypool.durable.engine.records import JobFilter
    from steadypool.durable.engine.states import JobState
    from steadypool.durable.worker.report import WorkReport
    from steadypool.durable.worker.settings import WorkerSettings
    from steadypool.durable.worker.worker import Worker
    from steadypool.model.errors import (
        CheckpointRefused,
        JobCancelled,
        JobExit,
        JobInterrupted,
        JobTimeout,
        PoolBroken,
        PoolClosed,
        QueueFull,
        RemoteError,
        Snooze,
        SteadypoolError,
        WorkerCrashed,
        WouldDeadlock,
    )
    from steadypool.model.health import Health
    from steadypool.model.limit import Limit
    from steadypool.model.options import Retry, Task, task
    from steadypool.model.reports import DrainReport, ErrorGroup, JobFailure, PoolStats
    from steadypool.model.states import Outcome, PoolState
    from steadypool.pools.aio import AsyncJobFuture, AsyncPool
    from steadypool.pools.processes import ProcessPool
    from steadypool.pools.processes.shared import Shared, share
    from steadypool.pools.threads.pool import ThreadPool
    from steadypool.primitives.future import JobFuture
    from steadypool.primitives.job_context import JobContext, current_job

__all__ = [
    "AsyncJobFuture",
    "AsyncPool",
    "Batch",
    "BatchProgress",
    "BulkResult",
    "Call",
    "CheckpointRefused",
    "Cron",
    "DrainReport",
    "EngineBusy",
    "EngineError",
    "EngineFull",
    "EngineGone",
    "EngineRefused",
    "ErrorGroup",
    "Every",
    "Health",
    "JobCancelled",
    "JobContext",
    "JobDiscarded",
    "JobExit",
    "JobFailure",
    "JobFilter",
    "JobFuture",
    "JobHandle",
    "JobInterrupted",
    "JobState",
    "JobTimeout",
    "Limit",
    "Outcome",
    "PayloadRefused",
    "PoolBroken",
    "PoolClosed",
    "PoolState",
    "PoolStats",
    "ProcessPool",
    "Queue",
    "QueueFull",
    "RemoteError",
    "Result",
    "Retry",
    "ScheduleHandle",
    "SchemaMismatch",
    "Shared",
    "Snooze",
    "SteadypoolError",
    "Task",
    "ThreadPool",
    "UnknownBatch",
    "UnknownJob",
    "UnknownLimit",
    "UnknownSchedule",
    "WorkReport",
    "Worker",
    "WorkerCrashed",
    "WorkerSettings",
    "WouldDeadlock",
    "WrongState",
    "current_job",
    "serve_status",
    "share",
    "task",
]

_PLACES = {
    "steadypool.contrib.status": "serve_status",
    "steadypool.durable.client.batch": "Batch BatchProgress",
    "steadypool.durable.client.bulk": "BulkResult",
    "steadypool.durable.client.call": "Call",
    "steadypool.durable.client.chain": "Result",
    "steadypool.durable.client.handle": "JobHandle",
    "steadypool.durable.client.queue": "Queue",
    "steadypool.durable.client.schedule": "Cron Every",
    "steadypool.durable.client.schedules": "ScheduleHandle",
    "steadypool.durable.engine.errors": (
        "EngineBusy EngineError EngineFull EngineGone EngineRefused JobDiscarded PayloadRefused "
        "SchemaMismatch UnknownBatch UnknownJob UnknownLimit UnknownSchedule WrongState"
    ),
    "steadypool.durable.engine.records": "JobFilter",
    "steadypool.durable.engine.states": "JobState",
    "steadypool.durable.worker.report": "WorkReport",
    "steadypool.durable.worker.settings": "WorkerSettings",
    "steadypool.durable.worker.worker": "Worker",
    "steadypool.model.errors": (
        "CheckpointRefused JobCancelled JobExit JobInterrupted JobTimeout PoolBroken PoolClosed QueueFull RemoteError "
        "Snooze SteadypoolError WorkerCrashed WouldDeadlock"
    ),
    "steadypool.model.health": "Health",
    "steadypool.model.limit": "Limit",
    "steadypool.model.options": "Retry Task task",
    "steadypool.model.reports": "DrainReport ErrorGroup JobFailure PoolStats",
    "steadypool.model.states": "Outcome PoolState",
    "steadypool.pools.aio": "AsyncJobFuture AsyncPool",
    "steadypool.pools.processes": "ProcessPool",
    "steadypool.pools.processes.shared": "Shared share",
    "steadypool.pools.threads.pool": "ThreadPool",
    "steadypool.primitives.future": "JobFuture",
    "steadypool.primitives.job_context": "JobContext current_job",
}
"""Where each name comes from. It is loaded when it is first asked for: a program pays for what it uses."""


if not TYPE_CHECKING:  # a type checker would take any name for one that exists
    __getattr__ = getattr_of(__name__, _PLACES)


def __dir__() -> list[str]:
    """All public names, those too that are not loaded yet."""
    return sorted({*globals(), *__all__})


__version__ = "0.1.0"
