"""The errors that futures raise for what became of a job, and what a forked pool says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError

from steadypool.model.error_text import type_name
from steadypool.model.errors import JobCancelled, JobExit, JobTimeout, PoolClosed, RemoteError
from steadypool.model.options import OPTION_NAMES
from steadypool.pools.core.shared import Job, Shared

_HOW_CANCELLED = {
    "cancelled": "was cancelled",
    "shutdown": "was stopped by the pool's shutdown",
    "returned": "was handed back",
    "lease_lost": "was stopped, since its lease was lost",
}


def cancelled_error(job: Job, cause: str, why: str = "") -> JobCancelled:
    """The error of a job that was cancelled, returned or interrupted."""
    how = _HOW_CANCELLED[cause]
    never = "" if job.attempts else " before it started"
    message = f"job {job.job_id} ({job._task_name}) {how}{never}{': ' if why else ''}{why}"
    error = JobCancelled(message, job_id=job.job_id, cause=cause)
    error.__cause__ = job._last_error
    return error


def timeout_error(job: Job, limit: str, stack: str) -> JobTimeout:
    """The error of a job whose *limit* (``"timeout"`` or ``"total_timeout"``) has passed."""
    seconds = getattr(job._options, limit)
    message = f"job {job.job_id} ({job._task_name}) has reached its {limit} of {seconds:g} s"
    error = JobTimeout(message, job_id=job.job_id, seconds=seconds, limit=limit, stack=stack)
    error.__cause__ = job._last_error
    return error


_MEANS_SOMETHING = (
    *(SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration),
    *(("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled")),
)
"""What must not be raised in the caller, where it would end a program, a loop, a task or a generator. Some by their
names: a pool of threads does not import asyncio."""


def _means_something(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_means_something, error.exceptions))
    if type(error) is CancelledError:  # asyncio makes its own of just this class
        return True
    names = {(kind.__module__, kind.__qualname__) for kind in type(error).__mro__}
    return any(
        known in names if isinstance(known, tuple) else issubclass(type(error), known) for known in _MEANS_SOMETHING
    )


def presentable(error: BaseException, job: Job, describe: Callable[[BaseException], tuple[str, str]]) -> BaseException:
    """What the future raises: nothing that would end the caller, as a raw ``SystemExit`` or ``StopIteration`` would.

    *describe* gives an error's traceback and message.
    """
    if not _means_something(error):
        return error
    stand_in: BaseException
    how = f"job {job.job_id} ({job._task_name}) raised"
    if isinstance(error, SystemExit | KeyboardInterrupt):
        code = error.code if isinstance(error, SystemExit) else 130
        shown = code if code is None or isinstance(code, int) else f"a {type(code).__name__}"
        stand_in = JobExit(f"{how} {type(error).__name__}({shown})", code=code)
    else:
        name, (trace, text) = type_name(error), describe(error)
        message = f"{how} {name.rpartition('.')[2]}{f': {text}' if text else ''}"
        stand_in = RemoteError(message, type_name=name, text=text, traceback=trace)
    stand_in.__cause__ = error
    return stand_in.with_traceback(error.__traceback__)


def hint_at_option(error: BaseException, job: Job) -> None:
    """A call like ``submit(f, x, timeout=5)`` has given an option of the job to the function, which has no such
    argument: say in a note how options are given."""
    if not job._kwargs or type(error) is not TypeError or [type(arg) for arg in error.args] != [str]:
        return
    for name in OPTION_NAMES.intersection(job._kwargs):
        if f"unexpected keyword argument '{name}'" in error.args[0]:
            short = job._task_name.rpartition(".")[2]
            value = job._kwargs[name]
            shown = value if type(value) in (int, float) else "..."
            error.add_note(
                f"({name} is an option of the job, which goes with the function: "
                f"pool.submit(task({short}, {name}={shown}), ...))"
            )


def forked_error(core: Shared) -> PoolClosed:
    """What a copy of a pool says in a forked child, where its workers do not exist."""
    return PoolClosed(
        f"pool {core.name!r} belongs to process {core.pid}: this is a forked child, which has none of its workers. "
        "Make a new pool after the fork."
    )
