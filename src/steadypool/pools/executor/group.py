"""A ``with`` scope for jobs that belong together.

Structured concurrency as in Trio's nurseries and `asyncio.TaskGroup`: nothing outlives the block, the first error
cancels the rest, and all errors come out together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from steadypool.model.errors import JobCancelled
from steadypool.model.states import Outcome
from steadypool.primitives.future import JobFuture

if TYPE_CHECKING:
    from steadypool.pools.executor.contract import PoolContract

P = ParamSpec("P")
R = TypeVar("R")


class Group:
    """What ``with pool.group() as group:`` gives.

    The block ends when every job of the group has ended. The first job that fails, or an error in the block
    itself, cancels the others, running ones included. If anything failed, the block raises an `ExceptionGroup`.
    A job that was cancelled by hand is no error; one that was handed back or interrupted by a drain is.
    """

    def __init__(self, pool: PoolContract) -> None:
        self._pool = pool
        self._lock = threading.RLock()
        self._jobs: set[JobFuture[Any]] = set()
        self._errors: list[BaseException] = []
        self._ending: JobCancelled | None = None
        self._ended = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit a job that belongs to the group; otherwise as the pool's own ``submit``.

        Raises:
            JobCancelled: the group is ending, since one of its jobs has failed.
            RuntimeError: the block has ended.
        """
        if self._ended:
            raise RuntimeError("the group's block has ended: submit inside of it")
        if self._ending is not None:
            raise self._ending
        job = self._pool.submit(fn, *args, **kwargs)
        with self._lock:
            self._jobs.add(job)
        job.add_done_callback(self._job_ended)
        if self._ending is not None:
            job.cancel(running=True)  # type: ignore[unreachable] # a sibling failed between the look above and now
        return job

    def _job_ended(self, job: JobFuture[Any]) -> None:
        failed = job.outcome not in (Outcome.SUCCEEDED, Outcome.CANCELLED)
        with self._lock:
            if job not in self._jobs:
                return  # whoever waits in `_wait` or the callback was here before
            self._jobs.remove(job)
            if failed and job._exception is not None:
                job._look()
                self._errors.append(job._exception)
        if failed:
            self._cancel_rest(f"job {job.job_id} of the group {job.outcome}")

    def _cancel_rest(self, why: str) -> None:
        with self._lock:
            if self._ending is None:
                self._ending = JobCancelled(f"the group is ending: {why}")
            rest = list(self._jobs)
        for job in rest:
            job.cancel(running=True)

    def _wait(self) -> None:
        while True:
            with self._lock:
                job = next(iter(self._jobs), None)
            if job is None:
                return
            job._wait(None)
            self._job_ended(job)  # its callback may not have run yet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._cancel_rest(f"its block raised {error!r}")
        try:
            self._wait()
        except BaseException:
            self._cancel_rest("the wait for its jobs was interrupted")
            self._wait()
            raise
        finally:
            self._ended = True
        self._raise(error)

    def _raise(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Exception):
            return  # Ctrl-C and the like leave the block as they are
        errors = list(self._errors)
        if error is not None and error is not self._ending and not any(error is known for known in errors):
            errors.insert(0, error)
        try:
            if errors:
                raise BaseExceptionGroup(f"{len(errors)} error(s) in a group of jobs", tuple(errors)) from None
        finally:
            errors.clear()
            self._errors.clear()
