"""``map`` and ``map_unordered``: a sliding window of futures over an input that may be endless."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from steadypool.machinery.future import JobFuture
from steadypool.words.errors import JobCancelled, PoolClosed
from steadypool.words.options import check_count, check_seconds

if TYPE_CHECKING:
    from steadypool.pools.contract import PoolContract

R = TypeVar("R")


class Window:
    """Submits from an input until *size* jobs are in flight.

    It refers to the pool only as long as there is input, so that a pool whose work is all submitted can end when
    nobody else refers to it. What ends the input early, a closed pool or an input that raises, is kept in
    ``failure`` until the results of what was submitted are out.
    """

    def __init__(
        self, pool: PoolContract, fn: Callable[..., Any], inputs: Iterator[tuple[Any, ...]], size: int, chunk: int
    ) -> None:
        self._pool: PoolContract | None = pool
        self._fn = fn
        self._inputs: Iterator[tuple[Any, ...]] = inputs
        self._size = size
        self._chunk = min(chunk, size)
        self.core = pool._core
        self.failure: Exception | None = None

    def submit_up_to(self, in_flight: int) -> Iterator[JobFuture[Any]]:
        """Submit while there is room in the window; yields each new future."""
        while self._pool is not None and in_flight + self._chunk <= self._size:
            pool, args = self._pool, self._next_chunk()
            try:
                for future in pool._submit_many(self._fn, args):
                    in_flight += 1
                    yield future
            except Exception as error:
                self._pool = None
                self.failure = error

    def _next_chunk(self) -> list[tuple[Any, ...]]:
        chunk: list[tuple[Any, ...]] = []
        try:
            for args in self._inputs:
                chunk.append(args)
                if len(chunk) == self._chunk:
                    return chunk
        except Exception as error:
            self.failure = error
        self._pool = None  # the input has ended
        return chunk


def open_window(
    pool: PoolContract,
    fn: Callable[..., Any],
    inputs: Iterator[tuple[Any, ...]],
    chunksize: int,
    buffersize: int | None,
) -> Window:
    """Check the arguments and make the window."""
    check_count("chunksize", chunksize)
    pool._core.resolve(fn)
    if pool._core.refusal is not None:
        raise pool._core.refusal()
    size = pool._core.queue.size if buffersize is None else check_count("buffersize", buffersize)
    return Window(pool, fn, inputs, size, chunksize)


def ordered(
    pool: PoolContract,
    fn: Callable[..., R],
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[R]:
    """See `PoolContract.map`."""
    check_seconds("map(timeout)", timeout, zero=True)
    deadline = None if timeout is None else monotonic() + timeout
    window = open_window(pool, fn, zip(*iterables, strict=False), chunksize, buffersize)
    futures = deque(window.submit_up_to(0))
    results = _in_order(window, futures, deadline)
    next(results)
    return results


def _in_order(window: Window, futures: deque[JobFuture[R]], deadline: float | None) -> Generator[R, None, None]:
    try:
        # `ordered` goes up to here, so that closing a map from which nothing was taken comes by the "finally" too.
        yield  # type: ignore[misc]
        while futures:
            yield _result(futures.popleft(), deadline)
            futures.extend(window.submit_up_to(len(futures)))
        if window.failure is not None:
            raise window.failure
    finally:
        for future in futures:
            future.cancel()


def _result(future: JobFuture[R], deadline: float | None) -> R:
    try:
        return future.result(None if deadline is None else deadline - monotonic())
    except JobCancelled as error:
        if error.cause != "shutdown":
            raise
        raise PoolClosed(f"the pool closed under a map: {error}") from error
    except TimeoutError:
        future.cancel()
        raise
    finally:
        del future


def unordered(
    pool: PoolContract, fn: Callable[[Any], R], iterable: Iterable[Any], chunksize: int, buffersize: int | None
) -> Iterator[R]:
    """See `PoolContract.map_unordered`."""
    window = open_window(pool, fn, zip(iterable, strict=False), chunksize, buffersize)
    flight = Flight()
    flight.add(window.submit_up_to(0))
    results = _as_they_end(window, flight)
    next(results)
    return results


class Landing:
    """Notes that a job has ended."""

    __slots__ = ("_future", "_landed")

    def __init__(self, future: JobFuture[Any], landed: SimpleQueue[JobFuture[Any]]) -> None:
        self._future = future
        self._landed = landed

    def release(self) -> None:
        """Note it."""
        self._landed.put(self._future)


class Flight:
    """Jobs in flight, and those of them that have ended, in the order they did."""

    def __init__(self) -> None:
        self._landed: SimpleQueue[JobFuture[Any]] = SimpleQueue()
        self.aloft: set[JobFuture[Any]] = set()

    def add(self, futures: Iterable[JobFuture[Any]]) -> None:
        """Wait for these too."""
        for future in futures:
            self.aloft.add(future)
            future._wake_when_done(Landing(future, self._landed))

    def next(self, core: Any) -> JobFuture[Any]:
        """The next one to have ended."""
        waiting = core.begin_wait(None)
        try:
            future = self._landed.get()
        finally:
            core.end_wait(waiting)
        self.aloft.discard(future)
        return future


def _as_they_end(window: Window, flight: Flight) -> Generator[Any, None, None]:
    returned: JobCancelled | None = None
    try:
        yield None  # see _in_order
        while flight.aloft:
            future = flight.next(window.core)
            error = future._exception
            if isinstance(error, JobCancelled) and error.cause == "shutdown":
                returned = error
            else:
                result = future.result()
                del future
                yield result
                del result
            flight.add(window.submit_up_to(len(flight.aloft)))
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        for left in list(flight.aloft):
            left.cancel()
