"""``map`` and ``map_unordered`` on asyncio: a sliding window of futures over an input that may be endless."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolClosed
from steadypool.model.options import check_count, check_seconds
from steadypool.model.states import Outcome
from steadypool.pools.aio.attempt import TURN
from steadypool.pools.aio.future import AsyncJobFuture, was_handed_back
from steadypool.pools.aio.map_input import BRISK, PATIENCE, Brisk, Feeder

if TYPE_CHECKING:
    from steadypool.pools.aio.pool import AsyncPool
    from steadypool.pools.aio.workers import AsyncWorkers

R = TypeVar("R")


class AsyncWindow:
    """Submits from an input until *size* jobs are in flight.

    What ends the input early, a closed pool or an input that raises, is kept in ``failure`` until the results of what
    was submitted are out.
    """

    def __init__(self, pool: AsyncPool, fn: Callable[..., Any], rows: Any, size: int) -> None:
        self.workers = pool._workers
        self._pool: AsyncPool | None = pool
        self._fn, self._options = self.workers.resolve(fn)
        self._rows = rows
        self._is_async = hasattr(rows, "__anext__")
        self._size = size
        self._feeder: Feeder | None = None
        self.failure: Exception | None = None
        self._row: tuple[Any, ...] | None = None
        """Input that was taken and is not submitted yet."""
        self.in_flight: Collection[Any] = ()
        self.add: Callable[[AsyncJobFuture[Any]], object] = _no_job
        """Takes each new future to where ``in_flight`` counts it."""
        self.is_there: Callable[[], object] = _no_job
        """Whether a result can be given now."""
        self.is_submitting = False

    def open(self) -> None:
        """Submit as far as that is possible without waiting, for input or for room."""
        brisk = Brisk(PATIENCE)
        while self._pool is not None and not self._is_async and self.has_room() and not brisk.is_over():
            try:
                row = self._row = brisk.next(self._rows)
            except Exception as error:
                self.end(error)
                return
            if row is None:
                return  # `fill` will see it, too
            job = self.workers.take_on(self._options, self._fn, row, {})
            if job is None:
                return
            self._row = None
            self.add(job)

    async def fill(self) -> None:
        """Submit while there is input, and less in flight than the window is wide; or leave it to the feeder."""
        if self._is_async:
            self._feed()
            return
        brisk = Brisk(BRISK)
        try:
            while self._pool is not None and self.has_room():
                row = brisk.next(self._rows) if self._row is None else self._row
                self._row = None
                if row is None:
                    self._pool = None
                    return
                await self.submit(row)
                if brisk.is_over():
                    await TURN
                    if self.is_there():
                        return
                    brisk = Brisk(BRISK)
        except Exception as error:
            self.end(error)

    def _feed(self) -> None:
        if self._feeder is None:
            self._feeder = Feeder(self, lambda: anext(self._rows, None))
        self._feeder.room.set()

    async def submit(self, row: tuple[Any, ...]) -> None:
        """Submit one, waiting for room in the queue."""
        assert self._pool is not None
        self.is_submitting = True
        try:
            job = self.workers.take_on(self._options, self._fn, row, {})
            self.add(job if job is not None else await self._pool._submit_patiently(self._options, self._fn, row))
        finally:
            self.is_submitting = False

    def has_room(self) -> bool:
        """Whether less is in flight than the window is wide."""
        return len(self.in_flight) < self._size

    def has_ended(self) -> bool:
        """Whether nothing more will be submitted."""
        return self._pool is None

    async def has_more(self, deadline: float | None) -> bool:
        """Wait until something is in flight; false if nothing more will be.

        Raises:
            TimeoutError: at *deadline*.
        """
        while not self.in_flight:
            feeder = self._feeder
            if feeder is None or feeder.has_ended or self._pool is None:
                return False
            try:
                await feeder.wait(None if deadline is None else deadline - monotonic())
            except TimeoutError:
                raise TimeoutError("the map's input was not all there within its timeout") from None
        return True

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more will be submitted."""
        self._pool = None
        self.failure = self.failure or failure

    async def close(self) -> None:
        """Close the input, if that is a generator of our own."""
        self._pool = None
        if self._feeder is not None:
            await self._feeder.close()
            for late in list(self.in_flight):
                late.cancel()
        if isinstance(self._rows, AsyncGenerator):
            await self._rows.aclose()


def _no_job(*_: object) -> None:
    raise AssertionError("a window was opened before its jobs had a place")


def open_window(
    pool: AsyncPool, fn: Callable[..., Any], iterables: tuple[Any, ...], chunksize: int, buffersize: int | None
) -> AsyncWindow:
    """Check the arguments and make the window."""
    chunksize = check_count("chunksize", chunksize)
    core = pool._core
    if core.refusal is not None:
        raise core.refusal()
    size = core.queue.window() if buffersize is None else check_count("buffersize", buffersize)
    return AsyncWindow(pool, fn, _rows(iterables), size)


def _rows(iterables: tuple[Any, ...]) -> Any:
    """What ``zip`` gives, over plain and asynchronous iterables alike."""
    for iterable in iterables:
        if (
            not hasattr(iterable, "__aiter__")
            and not hasattr(iterable, "__iter__")
            and not hasattr(iterable, "__getitem__")
        ):
            raise TypeError(f"map needs iterables or asynchronous iterables, not {iterable!r}")
    if any(hasattr(iterable, "__aiter__") for iterable in iterables):
        return _zip_any([aiter(i) if hasattr(i, "__aiter__") else iter(i) for i in iterables])
    return zip(*iterables, strict=False)


async def _zip_any(iterators: list[Any]) -> AsyncGenerator[tuple[Any, ...], None]:
    end = object()
    while True:
        row = []
        for iterator in iterators:
            item = await anext(iterator, end) if hasattr(iterator, "__anext__") else next(iterator, end)
            if item is end:
                return
            row.append(item)
        yield tuple(row)


def ordered(
    pool: AsyncPool,
    fn: Callable[..., Awaitable[R]],
    iterables: tuple[Any, ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> AsyncGenerator[R, None]:
    """See `AsyncPool.map`."""
    check_seconds("map(timeout)", timeout, zero=True)
    deadline = None if timeout is None else monotonic() + timeout
    window = open_window(pool, fn, iterables, chunksize, buffersize)
    futures: deque[AsyncJobFuture[Any]] = deque()
    window.in_flight, window.add, window.is_there = futures, futures.append, lambda: futures and futures[0].done()
    window.open()
    return _begun(_in_order(window, futures, deadline))


def _begun(results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Bring a generator to its first ``yield``: closing one that has not begun would not run its ``finally``."""
    try:
        results.asend(None).send(None)
    except StopIteration:
        return results
    raise AssertionError("it has no await before its first yield")


async def _in_order(
    window: AsyncWindow, futures: deque[AsyncJobFuture[Any]], deadline: float | None
) -> AsyncGenerator[Any, None]:
    try:
        yield None  # see `_begun`
        await window.fill()
        while await window.has_more(deadline):
            future = futures.popleft()
            if future.outcome is not Outcome.SUCCEEDED:
                await _ready(future, deadline)
            # Popped as it is given, so that nothing here keeps the future or the result while it is used.
            result = [future.result()]
            del future
            yield result.pop()
            await window.fill()
        if window.failure is not None:
            raise window.failure
    finally:
        await _give_up(window, futures)


async def _give_up(window: AsyncWindow, futures: Iterable[AsyncJobFuture[Any]]) -> None:
    for future in futures:
        future.cancel()
    await window.close()


async def _ready(future: AsyncJobFuture[Any], deadline: float | None) -> None:
    """Wait for a future of a map. Being cancelled meanwhile cancels the job.

    Raises:
        TimeoutError: it had not ended at *deadline*.
        PoolClosed: it was handed back.
    """
    if deadline is None:
        await future.wait_for_end()
    else:
        await asyncio.wait((future,), timeout=max(0.0, deadline - monotonic()))
    if not future.done():
        future.cancel()
        raise TimeoutError(f"job {future.job_id} of a map had not ended within the map's timeout")
    if was_handed_back(future._error):
        raise PoolClosed(f"the pool closed under a map: {future._error}") from future._error


def unordered(
    pool: AsyncPool,
    fn: Callable[[Any], Awaitable[R]],
    iterable: Any,
    chunksize: int,
    buffersize: int | None,
) -> AsyncGenerator[R, None]:
    """See `AsyncPool.map_unordered`."""
    window = open_window(pool, fn, (iterable,), chunksize, buffersize)
    flight = AsyncFlight()
    window.in_flight, window.add, window.is_there = flight.aloft, flight.add, flight.has_landed
    window.open()
    return _begun(_as_they_end(window, flight))


class AsyncFlight:
    """Jobs in flight, and those of them that have ended, in the order they did."""

    def __init__(self) -> None:
        self._landed: deque[AsyncJobFuture[Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.aloft: set[AsyncJobFuture[Any]] = set()

    def add(self, future: AsyncJobFuture[Any]) -> None:
        """Wait for this one too."""
        self.aloft.add(future)
        if future.done():
            self._landed.append(future)
        else:
            asyncio.Future.add_done_callback(future, self._land)

    def _land(self, future: Any) -> None:
        self._landed.append(future)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def has_landed(self) -> bool:
        """Whether one has ended."""
        return bool(self._landed)

    async def next(self, workers: AsyncWorkers) -> AsyncJobFuture[Any]:
        """The next one to have ended."""
        while not self._landed:
            self._waiter = workers.loop.create_future()
            waiting = workers.begin_wait(None)
            try:
                await self._waiter
            finally:
                workers.end_wait(waiting)
        future = self._landed.popleft()
        self.aloft.discard(future)
        return future


async def _as_they_end(window: AsyncWindow, flight: AsyncFlight) -> AsyncGenerator[Any, None]:
    returned: BaseException | None = None
    try:
        yield None  # see `_begun`
        await window.fill()
        while await window.has_more(None):
            future = await flight.next(window.workers)
            if was_handed_back(future._error):
                returned = future._error
            else:
                result = [future.result()]
                del future
                yield result.pop()
            await window.fill()
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        await _give_up(window, flight.aloft)
