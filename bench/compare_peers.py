"""The pools that ``python -m bench.compare`` tries, each behind a small adapter.

Where a pool lets us choose, its workers are started by ``forkserver``, as ours are by default. A pool is imported when
it is used, so that each case's interpreter has only its own.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from operator import methodcaller
from platform import python_version
from typing import Any


@dataclass(frozen=True)
class Opened:
    """A pool of two workers."""

    pool: Any
    submit: Callable[..., Any]
    """``submit(fn, *args)`` gives something for `result`."""
    result: Callable[[Any], Any] = methodcaller("result")
    close: Callable[[], object] = lambda: None
    """Closes the pool in the way that waits for its jobs."""


@dataclass(frozen=True)
class Peer:
    """One row of the table of pools."""

    name: str
    distribution: str | None
    """``None`` for the standard library."""
    open: Callable[[], Opened]

    def version(self) -> str:
        """Of what is installed."""
        return version(self.distribution) if self.distribution else f"Python {python_version()}"


def _forkserver() -> Any:
    return multiprocessing.get_context("forkserver")


def _ours() -> Opened:
    from steadypool import ProcessPool

    pool = ProcessPool(2)
    return Opened(pool, pool.submit, close=pool.shutdown)


def _standard() -> Opened:
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(2, _forkserver())
    return Opened(pool, pool.submit, close=pool.shutdown)


def _mp_pool() -> Opened:
    return _pool_of_old(_forkserver().Pool(2))


def _billiard() -> Opened:
    import billiard

    return _pool_of_old(billiard.Pool(2))


def _pool_of_old(pool: Any) -> Opened:
    return Opened(pool, lambda fn, *args: pool.apply_async(fn, args), methodcaller("get"), _closing(pool))


def _pebble() -> Opened:
    import pebble

    pool = pebble.ProcessPool(2, context=_forkserver())
    return Opened(pool, lambda fn, *args: pool.schedule(fn, args), close=_closing(pool))


def _loky() -> Opened:
    import loky

    pool = loky.ProcessPoolExecutor(2)
    return Opened(pool, pool.submit, close=pool.shutdown)


def _deadpool() -> Opened:
    import deadpool

    pool = deadpool.Deadpool(2, mp_context="forkserver")
    return Opened(pool, pool.submit, close=pool.shutdown)


def _mpire() -> Opened:
    import mpire

    pool = mpire.WorkerPool(2, start_method="forkserver")
    return Opened(pool, lambda fn, *args: pool.apply_async(fn, args), methodcaller("get"), pool.stop_and_join)


def _joblib() -> Opened:
    """It has calls, not jobs: each job is a call of its own, on a thread, and they share joblib's workers."""
    import joblib

    def submit(fn: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def call() -> None:
            try:
                # Two tasks: a single one would not leave this process.
                future.set_result(joblib.Parallel(2)([joblib.delayed(fn)(*args), joblib.delayed(int)()])[0])
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        return future

    return Opened(nullcontext(), submit)


def _closing(pool: Any) -> Callable[[], None]:
    def close() -> None:
        pool.close()
        pool.join()

    return close


PEERS = {
    peer.name: peer
    for peer in [
        Peer("steadypool", "steadypool", _ours),
        Peer("ProcessPoolExecutor", None, _standard),
        Peer("multiprocessing.Pool", None, _mp_pool),
        Peer("pebble", "Pebble", _pebble),
        Peer("loky", "loky", _loky),
        Peer("mpire", "mpire", _mpire),
        Peer("deadpool", "deadpool-executor", _deadpool),
        Peer("joblib", "joblib", _joblib),
        Peer("billiard", "billiard", _billiard),
    ]
}
