"""A ``with`` scope for jobs that belong together.

Structured concurrency as in Trio's nurseries and `asyncio.TaskGroup`: nothing outlives the block, the first error
cancels the rest, and all errors come out together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, ParamSpec, Protocol, Self, TypeVar

from steadypool.model.errors import JobCancelled
from steadypool.model.states import Outcome
from steadypool.pools.core.shared import Job
from steadypool.primitives.future import JobFuture

P = ParamSpec("P")
R = TypeVar("R")


class Submit(Protocol):
    """The ``submit`` of a pool."""

    def __call__(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit a job."""


class Member(Protocol):
    """A job of a group."""

    outcome: Outcome | None

    @property
    def job_id(self) -> str:
        """Its id."""

    @property
    def _error(self) -> BaseException | None:
        """What it ended with."""

    def _look(self) -> None:
        """Its failure is known."""

    def cancel(self, *, running: bool) -> bool:
        """Cancel it."""


J = TypeVar("J", bound=Member)


class Members(Generic[J]):
    """The jobs of a group that have not ended, and the errors of those that have."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: set[J] = set()
        self._errors: list[BaseException] = []
        self._ending: JobCancelled | None = None
        self._ended = False

    def _check_open(self) -> None:
        if self._ended:
            raise RuntimeError("the group's block has ended: submit inside of it")
        if self._ending is not None:
            raise self._ending

    def _is_ending(self) -> bool:
        """A sibling has failed, or the block has ended, while a job was submitted."""
        return self._ending is not None or self._ended

    def _job_ended(self, job: J) -> None:
        failed = job.outcome not in (Outcome.SUCCEEDED, Outcome.CANCELLED)
        with self._lock:
            if job not in self._jobs:
                return  # the wait for it or its callback was here before
            self._jobs.remove(job)
            if failed and job._error is not None:
                job._look()
                self._errors.append(job._error)
        if failed:
            self._cancel_rest(f"job {job.job_id} of the group {job.outcome}")

    def _cancel_rest(self, why: str) -> None:
        with self._lock:
            if self._ending is None:
                self._ending = JobCancelled(f"the group is ending: {why}")
            rest = list(self._jobs)
        for job in rest:
            job.cancel(running=True)

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


class Group(Members[Job]):
    """What ``with pool.group() as group:`` gives.

    The block ends when every job of the group has ended. The first job that fails, or an error in the block
    itself, cancels the others, running ones included. If anything failed, the block raises an `ExceptionGroup`.
    A job that was cancelled by hand is no error; one that was handed back or interrupted by a drain is.
    """

    def __init__(self, submit: Submit) -> None:
        super().__init__()
        self._submit = submit

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit a job that belongs to the group; otherwise as the pool's own ``submit``.

        Raises:
            JobCancelled: the group is ending, since one of its jobs has failed.
            RuntimeError: the block has ended.
        """
        self._check_open()
        job = self._submit(fn, *args, **kwargs)
        with self._lock:
            self._jobs.add(job)
        job.add_done_callback(self._job_ended)
        if self._is_ending():
            job.cancel(running=True)
        return job

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
