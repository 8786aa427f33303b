"""The window of a map: how much of its input is in flight, and how many items gather for one leg (`Window.together`).

`pools.executor.map_input` reads an input that may wait. How many items travel together the pool says:
`pools.processes.chunk_intake`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar
from weakref import ref

from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Args
from steadypool.pools.executor.legs import Landed, Leg, items_of
from steadypool.pools.executor.map_input import ReadAhead
from steadypool.primitives.future import JobFuture

R = TypeVar("R")
T = TypeVar("T")


class Submitter(Protocol):
    """What a map asks of its pool."""

    _core: Core
    _sends_together: bool
    """Whether items of a map may travel to their worker together."""

    def _items_together(self, fn: Callable[..., R], window: int) -> int:
        """How many items travel together next, if the caller does not say."""

    def _submit_patiently(self, fn: Callable[..., R], args: Args) -> JobFuture[R]:
        """Submit one item, waiting for room whatever ``on_full`` says."""

    def _submit_many(self, fn: Callable[..., R], batch: list[Args], landed: Landed[R] | None) -> Iterator[Leg[R]]:
        """Submit items; yields each leg when it is there."""


class Window(Generic[R]):
    """Submits from an input until *size* jobs are in flight.

    It refers to the pool only as long as there is input, so that a pool whose work is all submitted can end when
    it is referenced nowhere else. What ends the input early, a closed pool or an input that raises, is kept in
    ``failure`` until the results of what was submitted are out.
    """

    def __init__(
        self, pool: Submitter, fn: Callable[..., R], inputs: Iterator[Args], size: int, chunk: int | None
    ) -> None:
        self._pool: Submitter | None = pool
        self._fn = fn
        self.inputs = inputs
        self.size = size
        self.chunk = None if chunk is None else min(chunk, size)
        """Items that travel together; ``None``: the pool says how many, each time."""
        self.core = pool._core
        self.failure: BaseException | None = None
        self.add: Callable[[Leg[R]], object] = _no_leg
        """Takes each new leg. Chunks land in ``landed``, or on their own."""
        self.landed: Landed[R] | None = None
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._in_flight = 0
        self._asked = 0
        """Items that were to gather so far."""
        self._reader: ReadAhead[R] | None = None
        self._was_read = False
        self._results: Callable[[], object] = ref(self)

    def open(self, results: Generator[T, None, None], *, ahead: bool) -> Generator[T, None, None]:
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

    def close(self, legs: Iterable[Leg[R]]) -> None:
        """The map ends: read no more, and cancel *legs*, what is left, unless it is wanted."""
        wanted = self._is_wanted()
        if self._reader is not None:
            self._reader.close(wanted=wanted)
        if not wanted:
            for leg in list(legs):  # in one piece: the reader may add a last one, and cancels that itself
                leg.cancel()

    def _is_wanted(self) -> bool:
        """Whether the jobs are, though their results will not be read.

        As in the standard library: ``pool.map(fn, items)`` whose generator is dropped unread runs them. One that was
        read, or is closed by hand, cancels what has not started. A weak reference to a dropped generator is dead by
        the time it is closed, and that tells the two apart.
        """
        return not self._was_read and self._results() is None

    # -- for the iterator that gives the results

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
        if self.landed is None:
            self._woken.put(None)
        else:
            self.landed.put(None)

    # -- submitting

    def submit(self, batch: list[Args]) -> Iterable[Leg[R]]:
        """Submit these; gives each new leg."""
        pool = self._pool
        assert pool is not None
        if len(batch) == 1:
            return (pool._submit_patiently(self._fn, batch[0]),)
        return pool._submit_many(self._fn, batch, self.landed)

    def together(self) -> int:
        """How many items are to gather for the next leg."""
        if self.chunk is not None or self._pool is None:
            return self.chunk or 1
        # The first ones alone, the next two by two: the first results come as early as if none travelled together.
        together = min(self._pool._items_together(self._fn, self.size), self._asked + 1)
        self._asked += together
        return together

    def forget_input(self) -> None:
        """Nothing more will be submitted."""
        self._pool, self.inputs = None, iter(())

    def _fill(self) -> None:
        """Submit while there is room in the window."""
        if self.chunk == 1:
            self._fill_singly()
            return
        while (pool := self._pool) is not None:
            together = self.together()
            if self._in_flight + together > self.size:
                return
            batch = self._next_batch(together)
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

    def _next_batch(self, together: int) -> list[Args]:
        batch: list[Args] = []
        try:
            batch.extend(islice(self.inputs, together))
        except Exception as error:
            self.failure = error
            self._pool = None
        if len(batch) < together:
            self._pool = None  # the input has ended
        return batch


def _no_leg(leg: object) -> None:
    raise AssertionError("a window was opened before its legs had a place")
