"""``map`` and ``map_unordered``: a sliding window over an input that may be endless.

What is in flight are *legs*: futures, or on processes chunks of many items (see `pools.processes.chunk`), which may
turn into futures on the way.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import ref

from steadypool.model.clock import monotonic
from steadypool.model.errors import JobCancelled, PoolClosed
from steadypool.model.options import check_count, check_seconds
from steadypool.pools.executor.map_input import ReadAhead, items_of, never_waits
from steadypool.primitives.future import JobFuture

if TYPE_CHECKING:
    from steadypool.pools.executor.contract import PoolContract

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
        self.inputs: Iterator[tuple[Any, ...]] = inputs
        self.size = size
        self.chunk = min(chunk, size)
        self.core = pool._core
        self.failure: BaseException | None = None
        self.add: Callable[[Leg], object] = _no_leg
        """Takes each new leg. Chunks land in ``landed``, or by themselves."""
        self.landed: SimpleQueue[Any] | None = None
        self._woken: SimpleQueue[Any] = SimpleQueue()
        self._in_flight = 0
        self._reader: ReadAhead | None = None
        self._was_read = False
        self._results: Callable[[], object] = ref(self)

    def open(self, results: Generator[Any, None, None], *, ahead: bool) -> Iterator[Any]:
        """Submit what fits, and have *results* go up to where it can be closed, and know it from now on.

        *ahead*: the input may wait, and is read by a thread of its own.
        """
        self._reader = ReadAhead(self) if ahead else None
        if self._reader is None or not self._reader.begin():
            self._reader = None
            self._fill()
        next(results)
        self._results = ref(results)
        return results

    def begin(self) -> None:
        """The first result is asked for."""
        self._was_read = True
        if self._reader is not None:
            self._reader.was_read()

    def close(self, legs: Iterable[Leg]) -> None:
        """The map ends: read no more, and cancel *legs*, what is left, unless it is wanted."""
        wanted = self._is_wanted()
        if self._reader is not None:
            self._reader.close(wanted=wanted)
        if not wanted:
            for leg in list(legs):  # in one piece: the reader may add a last one, and cancels that itself
                leg.cancel()

    def _is_wanted(self) -> bool:
        """Whether the jobs are, though nobody will read their results.

        As in the standard library: ``pool.map(fn, items)`` whose generator is dropped unread runs them. One that was
        read, or is closed by hand, cancels what has not started. A weak reference to a dropped generator is dead by
        the time it is closed, and that tells the two apart.
        """
        return not self._was_read and self._results() is None

    # -- for whoever gives the results

    def in_flight(self) -> int:
        """Items that were submitted, less those that the caller was given."""
        return self._in_flight if self._reader is None else self._reader.in_flight()

    def gave(self, items: int) -> None:
        """The caller was given so many: submit others."""
        if self._reader is not None:
            self._reader.gave(items)
        else:
            self._in_flight -= items
            self._fill()

    def has_more(self) -> bool:
        """Whether anything is in flight or may come to be."""
        return self._in_flight > 0 if self._reader is None else self._reader.has_more()

    def wait(self, is_there: Callable[[], object], left: float | None, sleep: Callable[[float | None], object]) -> None:
        """Nothing is in flight: wait for input, for *left* seconds at most. May return early."""
        assert self._reader is not None
        self._reader.wait(sleep, is_there, left)

    def sleep(self, seconds: float | None) -> None:
        """Until `wake`."""
        with suppress(Empty):
            self._woken.get(timeout=seconds)

    def wake(self) -> None:
        """End a wait for input."""
        (self._woken if self.landed is None else self.landed).put(None)

    # -- submitting

    def submit(self, batch: list[tuple[Any, ...]]) -> Iterable[Leg]:
        """Submit these; gives each new leg."""
        pool = self._pool
        assert pool is not None
        if len(batch) == 1:
            return (pool._submit_patiently(self._fn, batch[0]),)
        return pool._submit_many(self._fn, batch, self.landed)

    def forget_input(self) -> None:
        """Nothing more will be submitted."""
        self._pool, self.inputs = None, iter(())

    def _fill(self) -> None:
        """Submit while there is room in the window."""
        if self.chunk == 1:
            self._fill_singly()
            return
        while self._pool is not None and self._in_flight + self.chunk <= self.size:
            pool, batch = self._pool, self._next_batch()
            try:
                for leg in pool._submit_many(self._fn, batch, self.landed):
                    self._in_flight += items_of(leg)
                    self.add(leg)
            except Exception as error:
                self._pool = None
                self.failure = error

    def _fill_singly(self) -> None:
        """The same for items that travel alone."""
        while (pool := self._pool) is not None and self._in_flight < self.size:
            try:
                args = next(self.inputs, None)
                if args is None:
                    self._pool = None  # the input has ended
                    return
                leg = pool._submit_patiently(self._fn, args)
            except Exception as error:
                self._pool = None
                self.failure = error
                return
            self._in_flight += 1
            self.add(leg)

    def _next_batch(self) -> list[tuple[Any, ...]]:
        batch: list[tuple[Any, ...]] = []
        try:
            batch.extend(islice(self.inputs, self.chunk))
        except Exception as error:
            self.failure = error
            self._pool = None
        if len(batch) < self.chunk:
            self._pool = None  # the input has ended
        return batch


def _no_leg(leg: Leg) -> None:
    raise AssertionError("a window was opened before its legs had a place")


def await_first_windows(core: Any) -> None:
    """Wait until the first windows of maps that nobody has read are submitted."""
    for reader in list(core.opening_maps):
        reader.await_first_window()


def open_window(
    pool: PoolContract,
    fn: Callable[..., Any],
    inputs: Iterator[tuple[Any, ...]],
    chunksize: int,
    buffersize: int | None,
) -> Window:
    """Check the arguments and make the window."""
    chunksize = check_count("chunksize", chunksize)
    pool._core.workers.resolve(fn)
    if pool._core.refusal is not None:
        raise pool._core.refusal()
    size = pool._core.queue.window() if buffersize is None else check_count("buffersize", buffersize)
    return Window(pool, fn, inputs, size, chunksize)


def ordered(
    pool: PoolContract,
    fn: Callable[..., R],
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
    read_here: bool,
) -> Iterator[R]:
    """See `PoolContract.map`."""
    check_seconds("map(timeout)", timeout, zero=True)
    deadline = None if timeout is None else monotonic() + timeout
    window = open_window(pool, fn, zip(*iterables, strict=False), chunksize, buffersize)
    legs: deque[Leg] = deque()
    window.add = legs.append
    return window.open(_in_order(window, legs, deadline), ahead=_may_wait(iterables, read_here))


def _may_wait(iterables: Iterable[Any], read_here: bool) -> bool:
    if not isinstance(read_here, bool):
        raise TypeError(f"read_here must be True or False, not {read_here!r}")
    return not read_here and not all(map(never_waits, iterables))


def _in_order(window: Window, legs: deque[Leg], deadline: float | None) -> Generator[Any, None, None]:
    try:
        # `Window.open` goes up to here, so that closing a map from which nothing was taken comes by the "finally" too.
        yield None
        window.begin()
        while legs or window.has_more():
            if not legs:
                _await_leg(window, legs, deadline)
                continue
            if isinstance(legs[0], JobFuture):
                yield _result(legs.popleft(), deadline)  # type: ignore[arg-type] # not kept in a variable here
                window.gave(1)
            else:
                items = legs[0].size
                yield from _results(legs[0], deadline)
                legs.popleft()
                window.gave(items)
        if window.failure is not None:
            raise window.failure
    finally:
        window.close(legs)


def _await_leg(window: Window, legs: deque[Leg], deadline: float | None) -> None:
    left = None if deadline is None else deadline - monotonic()
    if left is not None and left <= 0:
        raise TimeoutError("the map's input was not all there within its timeout")
    window.wait(lambda: legs, left, window.sleep)


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
    pool: PoolContract,
    fn: Callable[[Any], R],
    iterable: Iterable[Any],
    chunksize: int,
    buffersize: int | None,
    read_here: bool,
) -> Iterator[R]:
    """See `PoolContract.map_unordered`."""
    window = open_window(pool, fn, zip(iterable, strict=False), chunksize, buffersize)
    flight = Flight()
    window.landed, window.add = flight.landed, flight.add
    return window.open(_as_they_end(window, flight), ahead=_may_wait((iterable,), read_here))


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
    """Legs in flight, and what has come of them, in the order it did.

    Whoever submits adds legs; the caller alone takes what has landed. A chunk may have landed before it is added; a
    future lands after it, and needs no lock.
    """

    def __init__(self) -> None:
        self.landed: SimpleQueue[Any] = SimpleQueue()
        self.aloft: set[Leg] = set()
        self._given: Counter[Leg] = Counter()
        self._early: set[Leg] = set()
        # Reentrant: the garbage collector may run anything that submits to another map, and ends in this one.
        self._lock = threading.RLock()
        self.held: deque[Any] = deque()
        """What landed while input was waited for."""

    def add(self, leg: Leg) -> None:
        """Wait for this one too."""
        if isinstance(leg, JobFuture):
            self.aloft.add(leg)
            leg._wake_when_done(Landing(leg, self.landed))
            return
        with self._lock:
            if leg in self._early:
                self._early.discard(leg)
            else:
                self.aloft.add(leg)

    def _has_landed(self, chunk: Chunk) -> None:
        with self._lock:
            if chunk in self.aloft:
                self.aloft.discard(chunk)
            else:
                self._early.add(chunk)

    def sleep(self, seconds: float | None) -> None:
        """Until something lands, or the window wakes it."""
        with suppress(Empty):
            self.held.append(self.landed.get(timeout=seconds))

    def next(self, core: Any) -> JobFuture[Any] | list[Any]:
        """The next one to have ended, or the next values of a chunk; no values: look again."""
        if self.held:
            came = self.held.popleft()
        else:
            waiting = core.begin_wait(None)
            try:
                came = self.landed.get()
            finally:
                core.end_wait(waiting)
        if came is None:
            return []
        if isinstance(came, JobFuture):
            self.aloft.discard(came)
            return came
        chunk, values = came
        if values is None:
            for job in chunk.jobs:
                self.add(job)
        else:
            self._given[chunk] += len(values)
        if values is None or self._given[chunk] == chunk.size:
            self._has_landed(chunk)
            del self._given[chunk]
        return values or []


def _as_they_end(window: Window, flight: Flight) -> Generator[Any, None, None]:
    returned: JobCancelled | None = None
    try:
        yield None  # see _in_order
        window.begin()
        while window.has_more():
            if window.in_flight() <= 0 and not flight.held:
                window.wait(lambda: window.in_flight() > 0, None, flight.sleep)
                continue
            came = flight.next(window.core)
            if not isinstance(came, JobFuture):
                yield from came
                window.gave(len(came))
                continue
            if isinstance(error := came._exception, JobCancelled) and error.cause == "shutdown":
                returned = error
            else:
                result = came.result()
                del came
                yield result
                del result
            window.gave(1)
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        window.close(flight.aloft)
