"""Steadypool: the worker pool that Python programs run in production.

Threads, processes and asyncio under one contract; bounded; every job with an id, a time limit and a context;
failures tracked; a shutdown that always ends and accounts for every job.
"""

from steadypool.machinery.context import JobContext, current_job
from steadypool.machinery.future import JobFuture
from steadypool.pools.threads import ThreadPool
from steadypool.words.errors import (
    JobCancelled,
    JobExit,
    JobTimeout,
    PoolClosed,
    QueueFull,
    RemoteError,
    SteadypoolError,
    WorkerCrashed,
)
from steadypool.words.options import Retry, Task, task
from steadypool.words.reports import DrainReport, ErrorGroup, PoolStats
from steadypool.words.states import Outcome, PoolState

__all__ = [
    "DrainReport",
    "ErrorGroup",
    "JobCancelled",
    "JobContext",
    "JobExit",
    "JobFuture",
    "JobTimeout",
    "Outcome",
    "PoolClosed",
    "PoolState",
    "PoolStats",
    "QueueFull",
    "RemoteError",
    "Retry",
    "SteadypoolError",
    "Task",
    "ThreadPool",
    "WorkerCrashed",
    "current_job",
    "task",
]

for _name in __all__:
    # What a user sees in a traceback is the name that they can import.
    if isinstance(_public := globals()[_name], type):
        _public.__module__ = __name__
del _name, _public

__version__ = "0.1.0"
