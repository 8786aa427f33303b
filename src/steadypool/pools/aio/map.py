"""``map`` and ``map_unordered`` on asyncio: results in the order of the input, or as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from steadypool.model.errors import PoolClosed
from steadypool.model.states import Outcome
from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.map_input import AsyncWindow, Items, Submitter, open_window
from steadypool.pools.aio.workers import AsyncWorkers
from steadypool.pools.executor.map_options import MapOptions, was_handed_back

R = TypeVar("R")


def ordered(
    pool: Submitter, fn: Callable[..., Awaitable[R]], iterables: tuple[Items[object], ...], options: MapOptions
) -> AsyncGenerator[R | Exception, None]:
    """See `AsyncPool.map`."""
    window = open_window(pool, fn, iterables, options)
    jobs: deque[AsyncJobFuture[R]] = deque()
    window.in_flight, window.add, window.is_there = jobs, jobs.append, lambda: jobs and jobs[0].done()
    window.open()
    results = _in_order(window, jobs, options)
    return _begun(results)


def _begun(results: AsyncGenerator[R, None]) -> AsyncGenerator[R, None]:
    """Bring a generator to its first ``yield``: closing one that has not begun would not run its ``finally``."""
    try:
        results.asend(None).send(None)
    except StopIteration:
        return results
    raise AssertionError("it has no await before its first yield")


async def _in_order(
    window: AsyncWindow[R], jobs: deque[AsyncJobFuture[R]], options: MapOptions
) -> AsyncGenerator[R | Exception, None]:
    try:
        yield None  # type: ignore[misc] # see `_begun`
        await window.fill()
        while await window.has_more(options):
            job = jobs.popleft()
            if job.outcome is not Outcome.SUCCEEDED:
                await _ready(job, options)
            # Popped as it is given, so that nothing here keeps the job or the result while it is used.
            given = [options.given_for(job)]
            del job
            yield given.pop()
            await window.fill()
        if window.failure is not None:
            raise window.failure
    finally:
        await _give_up(window, jobs)


async def _give_up(window: AsyncWindow[R], jobs: Iterable[AsyncJobFuture[R]]) -> None:
    for job in jobs:
        job.cancel()
    await window.close()


async def _ready(job: AsyncJobFuture[R], options: MapOptions) -> None:
    """Wait for a job of a map. Being cancelled meanwhile cancels the job.

    Raises:
        TimeoutError: it had not ended when the map's time was over.
    """
    left = options.left()
    if left is None:
        await job.wait_for_end()
    else:
        await asyncio.wait((job,), timeout=max(0.0, left))
    if not job.done():
        job.cancel()
        raise TimeoutError(f"job {job.job_id} of a map had not ended within the map's timeout")


def unordered(
    pool: Submitter, fn: Callable[..., Awaitable[R]], iterable: Items[object], options: MapOptions
) -> AsyncGenerator[R | Exception, None]:
    """See `AsyncPool.map_unordered`."""
    window = open_window(pool, fn, (iterable,), options)
    flight: AsyncFlight[R] = AsyncFlight()
    window.in_flight, window.add, window.is_there = flight.aloft, flight.add, flight.has_landed
    window.open()
    results = _as_they_end(window, flight, options)
    return _begun(results)


class AsyncFlight(Generic[R]):
    """Jobs in flight, and those of them that have ended, in the order they did."""

    def __init__(self) -> None:
        self._landed: deque[AsyncJobFuture[R]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.aloft: set[AsyncJobFuture[R]] = set()

    def add(self, future: AsyncJobFuture[R]) -> None:
        """Wait for this one too."""
        self.aloft.add(future)
        if future.done():
            self._landed.append(future)
        else:
            asyncio.Future.add_done_callback(future, self._land)

    def _land(self, future: AsyncJobFuture[R]) -> None:
        self._landed.append(future)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def has_landed(self) -> bool:
        """Whether one has ended."""
        return bool(self._landed)

    async def next(self, workers: AsyncWorkers) -> AsyncJobFuture[R]:
        """The next one to have ended."""
        while not self._landed:
            self._waiter = workers.loop.create_future()
            waiting = workers.waits.begin_wait(None)
            try:
                await self._waiter
            finally:
                workers.waits.end_wait(waiting)
        future = self._landed.popleft()
        self.aloft.discard(future)
        return future


async def _as_they_end(
    window: AsyncWindow[R], flight: AsyncFlight[R], options: MapOptions
) -> AsyncGenerator[R | Exception, None]:
    returned: BaseException | None = None
    try:
        yield None  # type: ignore[misc] # see `_begun`
        await window.fill()
        while await window.has_more(options):
            job = await flight.next(window.workers)
            if was_handed_back(job._error):
                returned = job._error
            else:
                given = [options.given_for(job)]
                del job
                yield given.pop()
            await window.fill()
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        await _give_up(window, flight.aloft)
