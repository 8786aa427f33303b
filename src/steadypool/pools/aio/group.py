"""An ``async with`` scope for jobs that belong together: `pools.executor.group` on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.executor.group import Group

if TYPE_CHECKING:
    from steadypool.pools.aio.pool import AsyncPool

P = ParamSpec("P")
R = TypeVar("R")


class AsyncGroup(Group):
    """What ``async with pool.group() as group:`` gives; the rules are those of `Group`.

    Leaving the block because its task is cancelled cancels all jobs of the group; ``CancelledError`` goes on when they
    have ended, which takes ``cancel_grace`` at most.
    """

    _jobs: set[Any]
    _pool: Any

    def __init__(self, pool: AsyncPool) -> None:
        super().__init__(pool)  # type: ignore[arg-type]

    async def submit(  # type: ignore[override]
        self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJobFuture[R]:
        """Submit a job that belongs to the group; otherwise as the pool's own ``submit``.

        Raises:
            JobCancelled: the group is ending, since one of its jobs has failed.
            RuntimeError: the block has ended.
        """
        self._check_open()
        job: AsyncJobFuture[R] = await self._pool.submit(fn, *args, **kwargs)
        self._jobs.add(job)
        if job.done():
            self._job_ended(job)  # type: ignore[arg-type]
            return job
        asyncio.Future.add_done_callback(job, self._job_ended)  # type: ignore[arg-type]
        if self._ending is not None or self._ended:
            job.cancel(running=True)  # a sibling failed, or the block ended, while this waited for room
        return job

    def _check_open(self) -> None:
        if self._ended:
            raise RuntimeError("the group's block has ended: submit inside of it")
        if self._ending is not None:
            raise self._ending

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
