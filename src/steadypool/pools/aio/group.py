"""An ``async with`` scope for jobs that belong together: `pools.executor.group` on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NoReturn, ParamSpec, Protocol, Self, TypeVar

from steadypool.pools.aio.future import AsyncJob, AsyncJobFuture
from steadypool.pools.executor.group import Members

P = ParamSpec("P")
R = TypeVar("R")


class Submit(Protocol):
    """The ``submit`` of a pool."""

    async def __call__(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJobFuture[R]:
        """Submit a job."""


class AsyncGroup(Members[AsyncJob]):
    """What ``async with pool.group() as group:`` gives; the rules are those of `Group`.

    Leaving the block because its task is cancelled cancels all jobs of the group; ``CancelledError`` goes on when they
    have ended, which takes ``cancel_grace`` at most.
    """

    def __init__(self, submit: Submit) -> None:
        super().__init__()
        self._submit = submit

    async def submit(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJobFuture[R]:
        """Submit a job that belongs to the group; otherwise as the pool's own ``submit``.

        Raises:
            JobCancelled: the group is ending, since one of its jobs has failed.
            RuntimeError: the block has ended.
        """
        self._check_open()
        job: AsyncJobFuture[R] = await self._submit(fn, *args, **kwargs)
        self._jobs.add(job)
        if job.done():
            self._job_ended(job)
            return job
        asyncio.Future.add_done_callback(job, self._job_ended)
        if self._is_ending():
            job.cancel(running=True)
        return job

    async def _wait_for_jobs(self) -> bool:
        """Wait until all jobs have ended. Returns whether the waiting task was cancelled meanwhile."""
        cancelled = False
        while self._jobs:
            job = next(iter(self._jobs))
            try:
                await job.wait_for_end()
            except asyncio.CancelledError:
                cancelled = True
                self._cancel_rest("the wait for its jobs was cancelled")
                continue
            self._job_ended(job)  # its callback may not have run yet
        return cancelled

    def __enter__(self) -> NoReturn:
        raise TypeError("a group of an AsyncPool is entered with `async with pool.group() as group:`")

    def __exit__(self, *_: object) -> None:
        """Unreachable; Python requires it so that `__enter__` can raise the helpful error."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._cancel_rest(f"its block raised {error!r}")
        try:
            cancelled = await self._wait_for_jobs()
        finally:
            self._ended = True
        if cancelled and error is None:
            raise asyncio.CancelledError
        self._raise(error)
