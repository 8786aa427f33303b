"""Draining on SIGTERM and SIGINT, through the loop's own signal handling."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from steadypool.model.errors import PoolClosed

if TYPE_CHECKING:
    from steadypool.pools.aio.workers import AsyncWorkers


class DrainOnLoopSignal:
    """The block of ``with pool.drain_on_signal(timeout, signals)``; ``async with`` does as well.

    The first signal drains the pool within *timeout* seconds. The second goes straight to cancelling. The third
    means what it meant before the block. The old handlers come back at the end of the block.

    A `PoolClosed` of this pool that leaves the block after a signal ends there: it says no more than that the
    signal has had its effect. ``await pool.drain()`` then gives the report.
    """

    def __init__(self, workers: AsyncWorkers, timeout: float | None, signals: Iterable[int]) -> None:
        self._workers = workers
        self._timeout = timeout
        self._signals = [signal.Signals(number) for number in signals]
        self._old: dict[int, tuple[Any, Any]] = {}
        self._limit_before: float | None = None
        self.received = 0
        """How many signals have come."""

    def __enter__(self) -> DrainOnLoopSignal:
        self._workers.check_loop()
        loop = self._workers.loop
        try:
            for number in self._signals:
                old = signal.getsignal(number), _handler_of_loop(loop, number)
                loop.add_signal_handler(number, self._handle, number)
                self._old[number] = old
        except (ValueError, RuntimeError, NotImplementedError) as error:
            self._restore()
            raise RuntimeError(
                "drain_on_signal() needs the loop of the main thread, the only one that gets signals; "
                "here, have the main thread call pool.request_drain(timeout)"
            ) from error
        self._limit_before = self._workers.core.forecast.set_limit(self._timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._restore()
        self._workers.core.forecast.set_limit(self._limit_before)
        return self.received > 0 and isinstance(error, PoolClosed)

    async def __aenter__(self) -> DrainOnLoopSignal:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, error, trace)

    def _handle(self, number: int) -> None:
        self.received += 1
        if self.received > 2:
            self._restore()
            signal.raise_signal(number)  # the loop's own handlers are called by a signal alone
        else:
            self._workers.begin_drain(self._timeout if self.received == 1 else 0.0)

    def _restore(self) -> None:
        loop = self._workers.loop
        while self._old:
            number, (old, on_loop) = self._old.popitem()
            if loop.is_closed():
                continue
            if on_loop is not None:
                handlers, handle = on_loop
                loop.add_signal_handler(number, self._handle, number)  # the block's body may have removed it
                handlers[number] = handle
                continue
            loop.remove_signal_handler(number)
            if old is not None:  # None: it was not set from Python, and cannot be set again
                signal.signal(number, old)


def _handler_of_loop(loop: asyncio.AbstractEventLoop, number: int) -> tuple[dict[int, Any], Any] | None:
    """The loop's own handler of a signal, if it has one, and the dict where it belongs.

    Loops have no method that tells. asyncio's has an attribute; uvloop keeps its dict in C, where the garbage collector
    sees it, next to others that have file numbers for keys, and no handles for values.
    """
    own = getattr(loop, "_signal_handlers", None)
    for place in gc.get_referents(loop) if own is None else (own,):
        handle = place.get(number) if isinstance(place, dict) else None
        if type(handle).__name__ == "Handle":
            return place, handle
    return None
