"""Steadypool: the worker pool that Python programs run in production.

Threads, processes and asyncio under one contract; bounded; every job with an id, a time limit and a context;
failures tracked; a shutdown that always ends and accounts for every job.
"""

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.contrib.status import serve_status
    from steadypool.durable.client.call import Call
    from steadypool.durable.client.handle import JobHandle
    from steadypool.durable.client.queue import Queue
    from steadypool.durable.engine.errors import (
        EngineBusy,
        EngineError,
        EngineFull,
        EngineGone,
        EngineRefused,
        JobDiscarded,
        PayloadRefused,
        SchemaMismatch,
        UnknownJob,
        WrongState,
    )
    from steadypool.durable.engine.states import JobState
    from steadypool.durable.worker.report import WorkReport
    from steadypool.durable.worker.settings import WorkerSettings
    from steadypool.durable.worker.worker import Worker
    from steadypool.model.errors import (
        JobCancelled,
        JobExit,
        JobTimeout,
        PoolBroken,
        PoolClosed,
        QueueFull,
        RemoteError,
        SteadypoolError,
        WorkerCrashed,
        WouldDeadlock,
    )
    from steadypool.model.health import Health
    from steadypool.model.options import Retry, Task, task
    from steadypool.model.reports import DrainReport, ErrorGroup, JobFailure, PoolStats
    from steadypool.model.states import Outcome, PoolState
    from steadypool.pools.aio import AsyncJobFuture, AsyncPool
    from steadypool.pools.processes import ProcessPool
    from steadypool.pools.threads.pool import ThreadPool
    from steadypool.primitives.future import JobFuture
    from steadypool.primitives.job_context import JobContext, current_job

__all__ = [
    "AsyncJobFuture",
    "AsyncPool",
    "Call",
    "DrainReport",
    "EngineBusy",
    "EngineError",
    "EngineFull",
    "EngineGone",
    "EngineRefused",
    "ErrorGroup",
    "Health",
    "JobCancelled",
    "JobContext",
    "JobDiscarded",
    "JobExit",
    "JobFailure",
    "JobFuture",
    "JobHandle",
    "JobState",
    "JobTimeout",
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
    "Retry",
    "SchemaMismatch",
    "SteadypoolError",
    "Task",
    "ThreadPool",
    "UnknownJob",
    "WorkReport",
    "Worker",
    "WorkerCrashed",
    "WorkerSettings",
    "WouldDeadlock",
    "WrongState",
    "current_job",
    "serve_status",
    "task",
]

_PLACES = {
    "AsyncJobFuture": "steadypool.pools.aio",
    "AsyncPool": "steadypool.pools.aio",
    "Call": "steadypool.durable.client.call",
    "DrainReport": "steadypool.model.reports",
    "EngineBusy": "steadypool.durable.engine.errors",
    "EngineError": "steadypool.durable.engine.errors",
    "EngineFull": "steadypool.durable.engine.errors",
    "EngineGone": "steadypool.durable.engine.errors",
    "EngineRefused": "steadypool.durable.engine.errors",
    "ErrorGroup": "steadypool.model.reports",
    "Health": "steadypool.model.health",
    "JobCancelled": "steadypool.model.errors",
    "JobContext": "steadypool.primitives.job_context",
    "JobDiscarded": "steadypool.durable.engine.errors",
    "JobExit": "steadypool.model.errors",
    "JobFailure": "steadypool.model.reports",
    "JobFuture": "steadypool.primitives.future",
    "JobHandle": "steadypool.durable.client.handle",
    "JobState": "steadypool.durable.engine.states",
    "JobTimeout": "steadypool.model.errors",
    "Outcome": "steadypool.model.states",
    "PayloadRefused": "steadypool.durable.engine.errors",
    "PoolBroken": "steadypool.model.errors",
    "PoolClosed": "steadypool.model.errors",
    "PoolState": "steadypool.model.states",
    "PoolStats": "steadypool.model.reports",
    "ProcessPool": "steadypool.pools.processes",
    "Queue": "steadypool.durable.client.queue",
    "QueueFull": "steadypool.model.errors",
    "RemoteError": "steadypool.model.errors",
    "Retry": "steadypool.model.options",
    "SchemaMismatch": "steadypool.durable.engine.errors",
    "SteadypoolError": "steadypool.model.errors",
    "Task": "steadypool.model.options",
    "ThreadPool": "steadypool.pools.threads.pool",
    "UnknownJob": "steadypool.durable.engine.errors",
    "WorkReport": "steadypool.durable.worker.report",
    "Worker": "steadypool.durable.worker.worker",
    "WorkerCrashed": "steadypool.model.errors",
    "WorkerSettings": "steadypool.durable.worker.settings",
    "WouldDeadlock": "steadypool.model.errors",
    "WrongState": "steadypool.durable.engine.errors",
    "current_job": "steadypool.primitives.job_context",
    "serve_status": "steadypool.contrib.status",
    "task": "steadypool.model.options",
}
"""Where each name comes from. It is loaded when it is first asked for: a program pays for what it uses."""


if not TYPE_CHECKING:  # a type checker would take any name for one that exists
    __getattr__ = getattr_of(__name__, _PLACES)


def __dir__() -> list[str]:
    """All public names, those too that are not loaded yet."""
    return sorted({*globals(), *__all__})


__version__ = "0.1.0"
