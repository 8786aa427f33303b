"""An `AsyncPool` that looks like a pool of threads, so that the scenarios of `tests.pools.contract` run on it as they
are.

Its loop runs in a thread of its own. What a test submits becomes a coroutine function: `jobs.act` and the few others
that wait have an asynchronous twin in `coroutines`, everything else is called inside one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from steadypool import AsyncJobFuture, AsyncPool, Outcome, Task
from tests.pools.contract.coroutines import TWINS
from tests.pools.contract.stage import WAIT


def as_coroutine_function(fn: Any) -> Any:
    """What the loop runs for *fn*; what is no function is left for the pool to refuse."""
    if isinstance(fn, Task):
        return Task(as_coroutine_function(fn.fn), fn.task_options)
    if isinstance(fn, functools.partial):
        return functools.partial(as_coroutine_function(fn.func), *fn.args, **fn.keywords)
    if not callable(fn):
        return fn
    twin = TWINS.get(fn)

    @functools.wraps(fn, updated=())
    async def calls(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs) if twin is None else await twin(*args, **kwargs)

    return calls


class OnALoop:
    """The methods of `ThreadPool` that the scenarios use."""

    made: ClassVar[list[OnALoop]] = []

    def __init__(self, max_workers: int | None = None, **options: Any) -> None:
        workers = {} if max_workers is None else {"max_workers": max_workers}
        self.real = AsyncPool(**workers, **options)
        self._core = self.real._core
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.made.append(self)
        self._do(self.real.__aenter__())

    @classmethod
    def end_loops(cls) -> None:
        """Have every loop so far end with its thread."""
        while cls.made:
            one = cls.made.pop()
            one._loop.call_soon_threadsafe(one._loop.stop)
            one._thread.join(WAIT)
            one._loop.close()

    def _do(self, coroutine: Any, seconds: float | None = WAIT) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def _call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *fn* on the loop."""
        if threading.current_thread() is self._thread:
            return fn(*args, **kwargs)

        async def call() -> Any:
            return fn(*args, **kwargs)

        return self._do(call())

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> OnALoopFuture:
        return OnALoopFuture(self, self._do(self.real.submit(as_coroutine_function(fn), *args, **kwargs)))

    def try_submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> OnALoopFuture:
        return OnALoopFuture(self, self._do(self.real.try_submit(as_coroutine_function(fn), *args, **kwargs)))

    def submit_within(self, seconds: Any, fn: Any, /, *args: Any, **kwargs: Any) -> OnALoopFuture:
        coroutine = self.real.submit_within(seconds, as_coroutine_function(fn), *args, **kwargs)
        return OnALoopFuture(self, self._do(coroutine))

    def map(self, fn: Any, *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
        results = self._call(self.real.map, as_coroutine_function(fn), *iterables, **options)
        return self._iterate(results)

    def map_unordered(self, fn: Any, iterable: Iterable[Any], **options: Any) -> Iterator[Any]:
        results = self._call(self.real.map_unordered, as_coroutine_function(fn), iterable, **options)
        return self._iterate(results)

    def _iterate(self, results: Any) -> OnALoopResults:
        return OnALoopResults(self, results)

    def group(self) -> OnALoopGroup:
        return OnALoopGroup(self)

    def drain(self, timeout: float | None = None) -> Any:
        return self._do(self.real.drain(timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._do(self.real.shutdown(wait, cancel_futures=cancel_futures))

    def resize(self, max_workers: int) -> None:
        self._call(self.real.resize, max_workers)

    def stats(self) -> Any:
        return self._call(self.real.stats)

    def __enter__(self) -> OnALoop:
        return self

    def __exit__(self, *left: object) -> None:
        self._do(self.real.drain())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)  # errors, subscribe, request_drain, state, name


class OnALoopResults:
    """What a map gives, as a generator has it."""

    def __init__(self, pool: OnALoop, results: Any) -> None:
        self._pool, self._results = pool, results

    def __iter__(self) -> OnALoopResults:
        return self

    def __next__(self) -> Any:
        try:
            return self._pool._do(anext(self._results))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        self._pool._do(self._results.aclose())

    def __del__(self) -> None:
        if not self._pool._loop.is_closed() and threading.current_thread() is not self._pool._thread:
            self.close()


class OnALoopFuture(concurrent.futures.Future[Any]):
    """A job's future as a test on threads wants it."""

    def __init__(self, pool: OnALoop, job: AsyncJobFuture[Any]) -> None:
        super().__init__()
        self._pool, self.job = pool, job
        pool._call(asyncio.Future.add_done_callback, job, self._ended)

    def _ended(self, job: Any) -> None:
        if job.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
        elif job._error is not None:
            self.set_exception(job._error)
        else:
            self.set_result(asyncio.Future.result(job))

    @property
    def outcome(self) -> Outcome | None:
        return self.job.outcome

    @property
    def attempts(self) -> int:
        return self.job.attempts

    @property
    def job_id(self) -> str:
        return self.job.job_id

    def running(self) -> bool:
        return self.job.running()

    def done(self) -> bool:
        return self.job.done()

    def cancelled(self) -> bool:
        return self.job.cancelled()

    def cancel(self, **options: Any) -> bool:
        # As threads have it: a second cancel of a cancelled job says that it is cancelled.
        return bool(self._pool._call(self.job.cancel, **options) or self.job.cancelled())

    def result(self, timeout: float | None = None) -> Any:
        self.job._look()
        try:
            return super().result(timeout)
        except concurrent.futures.CancelledError:
            return self.job.result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.job._look()
        try:
            return super().exception(timeout)
        except concurrent.futures.CancelledError:
            return self.job.exception()


class OnALoopGroup:
    """A group, entered from outside the loop."""

    def __init__(self, pool: OnALoop) -> None:
        self._pool = pool
        self._group = pool.real.group()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> OnALoopFuture:
        job = self._pool._do(self._group.submit(as_coroutine_function(fn), *args, **kwargs))
        return OnALoopFuture(self._pool, job)

    def __enter__(self) -> OnALoopGroup:
        self._pool._do(self._group.__aenter__())
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._pool._do(self._group.__aexit__(kind, error, trace))
