"""The errors that futures raise for what became of a job, and what a forked pool says."""

from __future__ import annotations

from typing import Any, Protocol

from steadypool.machinery.future import JobFuture
from steadypool.words.errors import JobCancelled, JobExit, JobTimeout, PoolClosed

Job = JobFuture[Any]


class Forked(Protocol):
    """A pool, as far as a forked child speaks of it."""

    name: str
    pid: int


_HOW_CANCELLED = {
    "cancelled": "was cancelled",
    "shutdown": "was stopped by the pool's shutdown",
    "lease_lost": "was stopped, since its lease was lost",
}


def cancelled_error(job: Job, cause: str) -> JobCancelled:
    """The error of a job that was cancelled, returned or interrupted."""
    how = _HOW_CANCELLED[cause]
    never = "" if job.attempts else " before it started"
    error = JobCancelled(f"job {job.job_id} ({job._task_name}) {how}{never}", job_id=job.job_id, cause=cause)
    error.__cause__ = job._last_error
    return error


def timeout_error(job: Job, limit: str, stack: str) -> JobTimeout:
    """The error of a job whose *limit* (``"timeout"`` or ``"total_timeout"``) has passed."""
    seconds = getattr(job._options, limit)
    message = f"job {job.job_id} ({job._task_name}) has reached its {limit} of {seconds:g} s"
    error = JobTimeout(message, job_id=job.job_id, seconds=seconds, limit=limit, stack=stack)
    error.__cause__ = job._last_error
    return error


def presentable(error: BaseException, job: Job) -> BaseException:
    """What the future raises: never a raw ``SystemExit`` or ``KeyboardInterrupt``, which would end the caller."""
    if not isinstance(error, SystemExit | KeyboardInterrupt):
        return error
    code = error.code if isinstance(error, SystemExit) else 130
    shown = code if code is None or isinstance(code, int) else f"a {type(code).__name__}"
    exit_error = JobExit(f"job {job.job_id} ({job._task_name}) raised {type(error).__name__}({shown})", code=code)
    exit_error.__cause__ = error
    return exit_error.with_traceback(error.__traceback__)


def forked_error(core: Forked) -> PoolClosed:
    """What a copy of a pool says in a forked child, where its workers do not exist."""
    return PoolClosed(
        f"pool {core.name!r} belongs to process {core.pid}: this is a forked child, which has none of its workers. "
        "Make a new pool after the fork."
    )
