"""``map`` and ``map_unordered``: a sliding window over an input that may be endless.

What is in flight are *legs*: futures, or on processes chunks of many items (see `pools.processes.chunk`), which may
turn into futures on the way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import ref

from steadypool.machinery.future import JobFuture
from steadypool.words.clock import monotonic
from steadypool.words.errors import JobCancelled, PoolClosed
from steadypool.words.options import check_count, check_seconds

if TYPE_CHECKING:
    from steadypool.pools.contract import PoolContract

R = TypeVar("R")


class Chunk(Protocol):
    """What a map asks of items that travel together."""

    size: int
    jobs: list[JobFuture[Any]] | None

    def next(self, deadline: float | None) -> list[Any] | None:
        """The next results, in order; ``None`` once ``jobs`` have taken their place."""

    def cancel(self) -> object:
        """Cancel the items that have not started."""


Leg = JobFuture[Any] | Chunk


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
        self.in_flight = 0
        """Items that were submitted, less those that the caller was given."""
        self.was_read = False
        self._results: Callable[[], object] = ref(self)

    def open(self, results: Generator[Any, None, None]) -> Iterator[Any]:
        """Have *results* go up to where it can be closed, and know it from now on."""
        next(results)
        self._results = ref(results)
        return results

    def is_wanted(self) -> bool:
        """Whether the jobs are, though nobody will read their results.

        As in the standard library: ``pool.map(fn, items)`` whose generator is dropped unread runs them. One that was
        read, or is closed by hand, cancels what has not started. A weak reference to a dropped generator is dead by
        the time it is closed, and that tells the two apart.
        """
        return not self.was_read and self._results() is None

    def submit(self, landed: SimpleQueue[Any] | None = None) -> Iterator[Leg]:
        """Submit while there is room in the window; yields each new leg. Chunks land in *landed*, or by themselves."""
        while self._pool is not None and self.in_flight + self._chunk <= self._size:
            pool, batch = self._pool, self._next_batch()
            try:
                for leg in pool._submit_many(self._fn, batch, landed):
                    self.in_flight += items_of(leg)
                    yield leg
            except Exception as error:
                self._pool = None
                self.failure = error

    def _next_batch(self) -> list[tuple[Any, ...]]:
        batch: list[tuple[Any, ...]] = []
        try:
            batch.extend(islice(self._inputs, self._chunk))
        except Exception as error:
            self.failure = error
            self._pool = None
        if len(batch) < self._chunk:
            self._pool = None  # the input has ended
        return batch


def items_of(leg: Leg) -> int:
    """How many items travel in it."""
    return 1 if isinstance(leg, JobFuture) else leg.size


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
    legs = deque(window.submit())
    return window.open(_in_order(window, legs, deadline))


def _in_order(window: Window, legs: deque[Leg], deadline: float | None) -> Generator[Any, None, None]:
    try:
        # `Window.open` goes up to here, so that closing a map from which nothing was taken comes by the "finally" too.
        yield None
        window.was_read = True
        while legs:
            items = items_of(legs[0])
            if isinstance(legs[0], JobFuture):
                yield _result(legs.popleft(), deadline)  # type: ignore[arg-type] # not kept in a variable here
            else:
                yield from _results(legs[0], deadline)
                legs.popleft()
            window.in_flight -= items
            legs.extend(window.submit())
        if window.failure is not None:
            raise window.failure
    finally:
        if not window.is_wanted():
            for leg in legs:
                leg.cancel()


def _results(chunk: Chunk, deadline: float | None) -> Iterator[Any]:
    left = chunk.size
    try:
        while left and (values := chunk.next(deadline)) is not None:
            left -= len(values)
            yield from values
    except TimeoutError:
        chunk.cancel()
        raise
    if left:
        assert chunk.jobs is not None
        while chunk.jobs:
            yield _result(chunk.jobs.pop(0), deadline)


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
    flight.add(window.submit(flight.landed))
    return window.open(_as_they_end(window, flight))


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
    """Legs in flight, and what has come of them, in the order it did."""

    def __init__(self) -> None:
        self.landed: SimpleQueue[Any] = SimpleQueue()
        self.aloft: set[Leg] = set()
        self._given: Counter[Leg] = Counter()

    def add(self, legs: Iterable[Leg]) -> None:
        """Wait for these too."""
        for leg in legs:
            self.aloft.add(leg)
            if isinstance(leg, JobFuture):
                leg._wake_when_done(Landing(leg, self.landed))

    def next(self, core: Any) -> JobFuture[Any] | list[Any]:
        """The next one to have ended, or the next values of a chunk."""
        waiting = core.begin_wait(None)
        try:
            came = self.landed.get()
        finally:
            core.end_wait(waiting)
        if isinstance(came, JobFuture):
            self.aloft.discard(came)
            return came
        chunk, values = came
        if values is None:
            self.add(chunk.jobs)
        else:
            self._given[chunk] += len(values)
        if values is None or self._given[chunk] == chunk.size:
            self.aloft.discard(chunk)
            del self._given[chunk]
        return values or []


def _as_they_end(window: Window, flight: Flight) -> Generator[Any, None, None]:
    returned: JobCancelled | None = None
    try:
        yield None  # see _in_order
        window.was_read = True
        while flight.aloft:
            came = flight.next(window.core)
            if not isinstance(came, JobFuture):
                window.in_flight -= len(came)
                yield from came
            elif isinstance(error := came._exception, JobCancelled) and error.cause == "shutdown":
                window.in_flight -= 1
                returned = error
            else:
                window.in_flight -= 1
                result = came.result()
                del came
                yield result
                del result
            flight.add(window.submit(flight.landed))
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        if not window.is_wanted():
            for left in list(flight.aloft):
                left.cancel()
