"""Pools of processes behind one face: something to submit to, and a way to take a result.

All of them start their workers by ``forkserver``, as ours does by default, but loky, which has its own way. How
workers start makes no difference to any figure but that of a replacement.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import deadpool
import loky
import pebble

from steadypool import ProcessPool

OURS = "steadypool"
STANDARD = "ProcessPoolExecutor"
MP_POOL = "mp.Pool"
PEBBLE = "pebble"
LOKY = "loky"
DEADPOOL = "deadpool"
ALL = (OURS, STANDARD, MP_POOL, PEBBLE, LOKY, DEADPOOL)


@dataclass(frozen=True)
class Peer:
    """One pool, open."""

    name: str
    pool: Any
    submit: Callable[..., Any]
    """``submit(fn, *args)`` gives something for `result`."""
    result: Callable[[Any], Any] = methodcaller("result")

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a job and wait for it."""
        return self.result(self.submit(fn, *args))


@contextmanager
def opened(name: str, workers: int, **options: Any) -> Iterator[Peer]:
    """One of them, for the length of a ``with``; *options* are for its constructor."""
    with _OPENERS[name](workers, options) as peer:
        yield peer


@contextmanager
def all_opened(names: tuple[str, ...], workers: int) -> Iterator[list[Peer]]:
    """Several of them at a time, in this order."""
    with ExitStack() as stack:
        yield [stack.enter_context(opened(name, workers)) for name in names]


@contextmanager
def _ours(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    with ProcessPool(workers, **options) as pool:
        yield Peer(OURS, pool, pool.submit)


@contextmanager
def _standard(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    with ProcessPoolExecutor(workers, context(), **options) as pool:
        yield Peer(STANDARD, pool, pool.submit)


@contextmanager
def _mp_pool(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    with context().Pool(workers, **options) as pool:
        yield Peer(MP_POOL, pool, lambda fn, *args: pool.apply_async(fn, args), methodcaller("get"))


@contextmanager
def _pebble(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    with pebble.ProcessPool(workers, context=context(), **options) as pool:
        yield Peer(PEBBLE, pool, lambda fn, *args: pool.schedule(fn, args))


@contextmanager
def _loky(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    pool = loky.ProcessPoolExecutor(workers, **options)
    try:
        yield Peer(LOKY, pool, pool.submit)
    finally:
        pool.shutdown(kill_workers=True)


@contextmanager
def _deadpool(workers: int, options: dict[str, Any]) -> Iterator[Peer]:
    with deadpool.Deadpool(workers, mp_context="forkserver", **options) as pool:
        yield Peer(DEADPOOL, pool, pool.submit)


def context() -> Any:
    """The start method of all who let us choose."""
    return multiprocessing.get_context("forkserver")


_OPENERS: dict[str, Callable[[int, dict[str, Any]], Any]] = {
    OURS: _ours,
    STANDARD: _standard,
    MP_POOL: _mp_pool,
    PEBBLE: _pebble,
    LOKY: _loky,
    DEADPOOL: _deadpool,
}
