"""The input of a map on asyncio: asynchronous ones are read by a task of their own, plain ones between two results.

Theory of operation
-------------------
Everything here runs on the pool's loop, so that what is between two awaits is in one piece.

* **Asynchronous inputs** may wait for as long as they like. The feeder, a task of the map's own, reads an item, submits
  it, and goes on while less is in flight than the window is wide. The map waits for results alone, or,
  while nothing is in flight, for `Feeder.came`. Closing the map cancels the feeder, and with it a wait for the input.
* **Plain inputs** are read on the loop, since what is plain in a program for asyncio may count on that; while one
  blocks, the whole loop does. `AsyncWindow.fill` reads on until the window is full, but goes round the loop, and
  stops when a result is there, as soon as the input has taken longer than `BRISK`.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
)
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import TaskOptions
from steadypool.pools.aio.attempts import TURN
from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.workers import AsyncWorkers
from steadypool.pools.core.shared import Args
from steadypool.pools.executor.map_options import MapOptions

R = TypeVar("R")
T = TypeVar("T")
Items = Iterable[T] | AsyncIterable[T]

PATIENCE = 0.2
"""Seconds that a plain input may take of ``map`` itself, for the first window."""
BRISK = 0.005
"""Seconds that a plain input may take before others have a turn."""


class Submitter(Protocol):
    """What a map asks of its pool."""

    _workers: AsyncWorkers

    async def _submit_patiently(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: Args
    ) -> AsyncJobFuture[R]:
        """Submit one item, waiting for room whatever ``on_full`` says."""


class AsyncWindow(Generic[R]):
    """Submits from an input until *size* jobs are in flight.

    What ends the input early, a closed pool or an input that raises, is kept in ``failure`` until the results of what
    was submitted are out.
    """

    def __init__(self, pool: Submitter, fn: Callable[..., Awaitable[R]], rows: Rows, size: int) -> None:
        self.workers = pool._workers
        self._pool: Submitter | None = pool
        self._fn, self._options = self.workers.resolve(fn)
        self._rows = rows
        self._size = size
        self._feeder: Feeder[R] | None = None
        self.failure: Exception | None = None
        self._row: Args | None = None
        """Input that was taken and is not submitted yet."""
        self.in_flight: Collection[AsyncJobFuture[R]] = ()
        self.add: Callable[[AsyncJobFuture[R]], object] = _no_job
        """Takes each new future to where ``in_flight`` counts it."""
        self.is_there: Callable[[], object] = _no_job
        """Whether a result can be given now."""
        self.is_submitting = False

    def open(self) -> None:
        """Submit as far as that is possible without waiting, for input or for room."""
        brisk = Brisk(PATIENCE)
        rows = self._rows
        while self._pool is not None and isinstance(rows, Iterator) and self.has_room() and not brisk.is_over():
            try:
                row = self._row = brisk.next(rows)
            except Exception as error:
                self.end(error)
                return
            if row is None:
                return  # `fill` will see it, too
            job = self._take_on(row)
            if job is None:
                return
            self._row = None
            self.add(job)

    async def fill(self) -> None:
        """Submit while there is input, and less in flight than the window is wide; or leave it to the feeder."""
        rows = self._rows
        if not isinstance(rows, Iterator):
            self._feed(rows)
            return
        brisk = Brisk(BRISK)
        try:
            while self._pool is not None and self.has_room():
                row = brisk.next(rows) if self._row is None else self._row
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

    def _feed(self, rows: AsyncIterator[Args]) -> None:
        if self._feeder is None:
            self._feeder = Feeder(self, rows)
        self._feeder.room.set()

    async def submit(self, row: Args) -> None:
        """Submit one, waiting for room in the queue."""
        assert self._pool is not None
        self.is_submitting = True
        try:
            job = self._take_on(row)
            self.add(job if job is not None else await self._pool._submit_patiently(self._options, self._fn, row))
        finally:
            self.is_submitting = False

    def _take_on(self, row: Args) -> AsyncJobFuture[R] | None:
        limited = self._options.gates is not None
        return None if limited else self.workers.launcher.take_on(self._options, self._fn, row, {})

    def has_room(self) -> bool:
        """Whether less is in flight than the window is wide."""
        return len(self.in_flight) < self._size

    def has_ended(self) -> bool:
        """Whether nothing more will be submitted."""
        return self._pool is None

    async def has_more(self, options: MapOptions) -> bool:
        """Wait until something is in flight; false if nothing more will be.

        Raises:
            TimeoutError: the map's time has passed.
        """
        while not self.in_flight:
            feeder = self._feeder
            if feeder is None or feeder.has_ended or self._pool is None:
                return False
            try:
                await feeder.wait(options.left())
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


Rows = Iterator[Args] | AsyncIterator[Args]
"""An input: the arguments of each job."""


def open_window(
    pool: Submitter, fn: Callable[..., Awaitable[R]], iterables: tuple[Items[object], ...], options: MapOptions
) -> AsyncWindow[R]:
    """A window over what ``zip`` gives, over plain and asynchronous iterables alike."""
    return AsyncWindow(pool, fn, _rows(iterables), options.window(pool._workers.core))


def _rows(iterables: tuple[Items[object], ...]) -> Rows:
    for iterable in iterables:
        if not any(hasattr(iterable, name) for name in ("__aiter__", "__iter__", "__getitem__")):
            raise TypeError(f"map needs iterables or asynchronous iterables, not {iterable!r}")
    iterators = [aiter(i) if isinstance(i, AsyncIterable) else iter(i) for i in iterables]
    plain = [iterator for iterator in iterators if isinstance(iterator, Iterator)]
    return zip(*plain, strict=False) if len(plain) == len(iterators) else _zip_any(iterators)


async def _zip_any(iterators: list[Iterator[object] | AsyncIterator[object]]) -> AsyncGenerator[Args, None]:
    end = object()
    while True:
        row: list[object] = []
        for iterator in iterators:
            item = next(iterator, end) if isinstance(iterator, Iterator) else await anext(iterator, end)
            if item is end:
                return
            row.append(item)
        yield tuple(row)


class Feeder(Generic[R]):
    """Reads an asynchronous input and submits it, in a task of its own."""

    def __init__(self, window: AsyncWindow[R], rows: AsyncIterator[Args]) -> None:
        self._window = window
        self._rows = rows
        self.came = asyncio.Event()
        """Something was submitted, the input has ended, or the pool has closed."""
        self.room = asyncio.Event()
        """Something was given to the caller."""
        self.has_ended = False
        window.workers.core.at_close.append(self._pool_closed)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"{window.workers.core.name}-input")

    async def _run(self) -> None:
        window = self._window
        try:
            while not window.has_ended():
                self.room.clear()
                if not window.has_room():
                    await self.room.wait()
                elif (row := await anext(self._rows, None)) is None:
                    window.end()
                else:
                    await window.submit(row)
                    self.came.set()
        except Exception as error:
            window.end(error)
        finally:
            self.has_ended = True
            with suppress(ValueError):
                window.workers.core.at_close.remove(self._pool_closed)
            self.came.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something came; *seconds* at most.

        Raises:
            TimeoutError: nothing did.
        """
        if not self.has_ended and self._window.workers.core.refusal is not None and not self._window.is_submitting:
            self._window.end(self._window.workers.core.refusal())
            return
        self.came.clear()
        if not self.has_ended:
            async with asyncio.timeout(seconds):
                await self.came.wait()

    async def close(self) -> None:
        """Stop reading, also in the middle."""
        self._task.cancel()
        self.room.set()
        await asyncio.wait((self._task,))

    def _pool_closed(self) -> None:
        loop = self._task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.came.set)


class Brisk:
    """How long a plain input has taken of the loop, since others had a turn."""

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self._taken = 0.0

    def next(self, rows: Iterator[Args]) -> Args | None:
        """The next row; ``None`` at the end."""
        began = monotonic()
        try:
            return next(rows, None)
        finally:
            self._taken += monotonic() - began

    def is_over(self) -> bool:
        """Whether that is too long."""
        return self._taken > self._allowed
