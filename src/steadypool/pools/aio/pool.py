"""`AsyncPool`: the contract on asyncio. How it works is told in `pools.aio.workers`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import signal
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextvars import copy_context
from inspect import CO_COROUTINE
from types import FunctionType, TracebackType
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.errors import QueueFull, WouldDeadlock
from steadypool.model.options import Retry, TaskOptions, check_seconds
from steadypool.model.reports import DrainReport, JobFailure
from steadypool.model.states import PoolState
from steadypool.pools.aio import map
from steadypool.pools.aio.attempt import TURN
from steadypool.pools.aio.drain_on_signal import DrainOnLoopSignal
from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.group import AsyncGroup
from steadypool.pools.aio.loop_end import wait_closed
from steadypool.pools.aio.queue_wait import wait_for_room
from steadypool.pools.aio.shutdown import end_stuck
from steadypool.pools.aio.workers import AsyncWorkers
from steadypool.pools.core.settings import check_settings, check_workers
from steadypool.pools.core.supervisor import give_back_waiting
from steadypool.pools.executor.contract import let_watch
from steadypool.pools.inspect.inspection import Books
from steadypool.primitives.arguments import Show

P = ParamSpec("P")
R = TypeVar("R")
Items = Iterable[Any] | AsyncIterable[Any]

_numbers = itertools.count()


class AsyncPool(Books):
    """A bounded pool of coroutines, on the event loop where it is opened.

    Args:
        max_workers: how many jobs run at a time.
        queue_size: how many more may wait; ``None`` for any number.
        on_full: what a submit does when that many wait: ``"block"`` (the submitting task waits, the loop goes on),
            ``"reject"`` (`QueueFull`), ``"caller_runs"`` (the job starts at once, beyond *max_workers*, and the
            submitting task waits until it has ended), or ``"discard_oldest"``.
        timeout: seconds one attempt of a job may run, for tasks that do not say otherwise.
        total_timeout: seconds from submit to the end of a job's last attempt, likewise.
        retry: when a failed attempt is followed by another, likewise.
        cancel_grace: seconds that a job has to end after it was cancelled.
        exit_timeout: without meaning here, since the pool lives no longer than its loop; taken so that all pools
            take the same.
        name: what reports call the pool.
        on_error: called with a `JobFailure` for each job that fails, times out or crashes, after its future has
            settled; on the thread that ends the job, or one of its own. What it raises is logged.
        show_arguments: whether reports show what a job was called with; or a function of the task's name, ``args`` and
            ``kwargs`` that returns the text to show instead, such as one that leaves secrets out.

    Raises:
        TypeError, ValueError: at once, for a value that makes no sense.

    It belongs to the loop on which it is first used, as a rule by ``async with``. From other threads and loops there
    are `submit_threadsafe`, `request_drain`, and the books (`stats`, `errors`, `state`).
    """

    def __init__(
        self,
        max_workers: int = 100,
        *,
        queue_size: int | None = 1000,
        on_full: str = "block",
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry: Retry | None = None,
        cancel_grace: float = 1.0,
        exit_timeout: float | None = 30.0,
        name: str | None = None,
        on_error: Callable[[JobFailure], object] | None = None,
        show_arguments: Show = True,
        monitor: bool = False,
    ) -> None:
        number = next(_numbers)
        settings = check_settings(
            name=name or f"AsyncPool-{number}",
            queue_size=queue_size,
            on_full=on_full,
            timeout=timeout,
            total_timeout=total_timeout,
            retry=retry,
            cancel_grace=cancel_grace,
            exit_timeout=exit_timeout,
            on_error=on_error,
            show_arguments=show_arguments,
            monitor=monitor,
            initializer=None,
            initargs=(),
        )
        self._workers = AsyncWorkers(settings, check_workers(max_workers))
        self._core = self._workers.core
        let_watch(self._core, 3)
        # A pool nobody refers to any more ends: its attempts know the core alone.
        weakref.finalize(self, self._core.abandon).atexit = False

    # -- submitting

    async def submit(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJobFuture[R]:
        """Have ``fn(*args, **kwargs)`` run in a task of its own; returns the job's future, to be awaited.

        When all places are taken and the queue is full, it does as ``on_full`` says.

        Raises:
            QueueFull: no room, and ``on_full`` is ``"reject"``.
            PoolClosed: the pool takes no more jobs, or closed while this waited for room.
            TypeError: *fn* is no coroutine function.
            RuntimeError: called on another loop than the pool's.
        """
        core = self._core
        if type(fn) is FunctionType and fn.__code__.co_flags & CO_COROUTINE:
            options = core.options
        else:
            fn, options = self._workers.resolve(fn)
        job = self._workers.take_on(options, fn, args, kwargs)
        return job if job is not None else await self._submit_in_turn(options, fn, args, kwargs)

    async def _submit_in_turn(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncJobFuture[R]:
        """Submit a job that was not taken on at once: let the loop go round, or do what a full queue asks for."""
        core = self._core
        self._workers.check_loop()
        if self._workers.must_turn():
            await TURN
        if core.refusal is not None:
            raise core.refusal()
        job = self._workers.take_on(options, fn, args, kwargs)
        return job if job is not None else await self._submit_when_full(options, fn, args, kwargs)

    def _enqueue(
        self,
        options: TaskOptions,
        fn: Callable[..., Awaitable[R]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        has_room: bool = True,
    ) -> AsyncJobFuture[R]:
        """Make the job and put it into the queue; room, if it needs any, was taken."""
        core = self._core
        if core.refusal is not None:
            if has_room:
                core.queue.give_room()
            raise core.refusal()
        job: AsyncJobFuture[R] = AsyncJobFuture(
            self._workers, options, fn, args, kwargs, copy_context(), monotonic(), next(core.tickets)
        )
        self._workers.enqueue(job, has_room=has_room)
        return job

    async def _submit_when_full(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncJobFuture[R]:
        """Do as ``on_full`` says."""
        core = self._core
        how = core.settings.on_full
        core.forecast.look()
        if how == "block":
            if self._workers.is_own_thread():
                # A job that waited for room in its own pool might wait for itself.
                return self._enqueue(options, fn, args, kwargs, has_room=False)
            return await self._submit_waiting(None, options, fn, args, kwargs)
        if how == "caller_runs":
            return await self._run_beyond_the_bound(options, fn, args, kwargs)
        if how == "discard_oldest":
            while not core.queue.take_room():
                oldest = core.queue.take_last_in_rank()
                if oldest is None:
                    return await self._submit_waiting(None, options, fn, args, kwargs)
                core.admission.discard(oldest)
            return self._enqueue(options, fn, args, kwargs)
        raise self._rejection(fn, options)

    async def _submit_waiting(
        self,
        seconds: float | None,
        options: TaskOptions,
        fn: Callable[..., Awaitable[R]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> AsyncJobFuture[R]:
        core = self._core
        if not await wait_for_room(self._workers, seconds):
            if core.refusal is not None:
                raise core.refusal()
            raise core.reject(fn, options, f"the queue of pool {core.name!r} had no room within {seconds:g} s")
        return self._enqueue(options, fn, args, kwargs)

    async def _run_beyond_the_bound(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncJobFuture[R]:
        core = self._core
        job: AsyncJobFuture[R] = AsyncJobFuture(
            self._workers, options, fn, args, kwargs, copy_context(), monotonic(), next(core.tickets)
        )
        await self._workers.run_beyond_the_bound(job)
        return job

    def _rejection(self, fn: Callable[..., Any], options: TaskOptions) -> QueueFull:
        core = self._core
        return core.reject(fn, options, f"the queue of pool {core.name!r} is full ({core.queue.size} jobs wait)")

    async def try_submit(
        self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJobFuture[R]:
        """Submit if there is room now, whatever ``on_full`` says. It does not wait, but for the loop to go round.

        Raises:
            QueueFull: there is none.
            PoolClosed: the pool takes no more jobs.
            TypeError: *fn* is no coroutine function.
        """
        function, options = self._workers.resolve(fn)
        return await self._submit_within(0.0, options, function, args, kwargs)

    async def submit_within(
        self, seconds: float, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJobFuture[R]:
        """Submit, waiting up to *seconds* for room, whatever ``on_full`` says.

        Raises:
            QueueFull: there was none in that time.
            PoolClosed: the pool takes no more jobs, or closed meanwhile.
            TypeError, ValueError: for a value that makes no sense.
        """
        if check_seconds("submit_within(seconds)", seconds, zero=True) is None:
            raise TypeError("submit_within(seconds) must be a number of seconds, not None; use submit to wait for ever")
        function, options = self._workers.resolve(fn)
        return await self._submit_within(seconds, options, function, args, kwargs)

    async def _submit_within(
        self,
        seconds: float | None,
        options: TaskOptions,
        fn: Callable[..., Awaitable[R]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> AsyncJobFuture[R]:
        core = self._core
        self._workers.check_loop()
        if self._workers.must_turn():
            await TURN
        if core.refusal is not None:
            raise core.refusal()
        if not core.queue.blocked and core.queue.take_room():
            return self._enqueue(options, fn, args, kwargs)
        if seconds == 0:
            raise self._rejection(fn, options)
        if self._workers.is_own_thread():
            return self._enqueue(options, fn, args, kwargs, has_room=False)
        return await self._submit_waiting(seconds, options, fn, args, kwargs)

    async def _submit_patiently(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...]
    ) -> AsyncJobFuture[R]:
        """Submit for a map, which waits for room whatever ``on_full`` says."""
        if self._core.settings.on_full == "block":
            return await self._submit_in_turn(options, fn, args, {})
        return await self._submit_within(None, options, fn, args, {})

    async def run(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submit and await the result. Cancelling the awaiting task cancels the job, a running one included.

        Raises:
            QueueFull: no room, and ``on_full`` is ``"reject"``.
            PoolClosed: the pool takes no more jobs.
            Exception: what the job raised, and what `AsyncJobFuture.result` says.
        """
        job = await self.submit(fn, *args, **kwargs)
        try:
            return await job
        except WouldDeadlock:
            job.cancel(running=True)
            raise

    def submit_threadsafe(
        self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[R]:
        """Submit from another thread, or another loop; the context variables of the caller go along.

        It returns at once; waiting for room is part of what the future waits for. Cancelling the future cancels the
        job, a running one included.

        Raises:
            PoolClosed: the pool takes no more jobs. (From the future, if it closes before the job gets in.)
            TypeError: *fn* is no coroutine function.
            RuntimeError: the pool has not been opened on a loop yet, or that loop is closed.
        """
        core = self._core
        if core.refusal is not None:
            raise core.refusal()
        self._workers.resolve(fn)
        if not self._workers.is_bound:
            raise RuntimeError(f"pool {core.name!r} is not open on an event loop yet: open it with `async with pool`")
        coroutine = self.run(fn, *args, **kwargs)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._workers.loop)
        except RuntimeError:
            coroutine.close()
            raise

    # -- many at once

    def map(
        self,
        fn: Callable[..., Awaitable[R]],
        *iterables: Items,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        read_here: bool = False,
    ) -> AsyncIterator[R]:
        """``async for result in pool.map(fn, items)``: results in order, lazily, at most *buffersize* in flight.

        Args:
            fn: the coroutine function or task.
            iterables: where its arguments come from, plain or asynchronous iterables; they may be endless.
            timeout: seconds from this call within which every result must be there.
            chunksize, read_here: without meaning here; taken so that all pools take the same.
            buffersize: how many jobs may be in flight; by default ``queue_size``.

        Returns:
            An asynchronous generator. Closing it cancels what has not started.

        Raises:
            TimeoutError: from the generator, when *timeout* has passed.
            PoolClosed: from the generator, when the pool closes under it, after the results that were finished.
        """
        return map.ordered(self, fn, iterables, timeout, chunksize, buffersize)

    def map_unordered(
        self,
        fn: Callable[[Any], Awaitable[R]],
        iterable: Items,
        *,
        buffersize: int | None = None,
        chunksize: int = 1,
        read_here: bool = False,
    ) -> AsyncIterator[R]:
        """Results as they end, lazily, with at most *buffersize* jobs in flight; otherwise as `map`."""
        return map.unordered(self, fn, iterable, chunksize, buffersize)

    def group(self) -> AsyncGroup:
        """An ``async with`` scope for jobs that belong together: nothing in it outlives it; see `AsyncGroup`."""
        return AsyncGroup(self)

    # -- the end

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Stop taking jobs, let those there are end, and say what became of each.

        Cancelling the awaiting task ends the wait, not the drain.

        Args:
            timeout: seconds until what waits is given back and what runs is cancelled; the call then returns
                within ``cancel_grace``, whatever the jobs do, as long as they await. ``None``: no limit.

        Raises:
            RuntimeError: called from a job of this pool, which would wait for itself: use `request_drain` there.
        """
        check_seconds("drain(timeout)", timeout, zero=True)
        self._refuse_to_wait_here("drain(timeout)", "request_drain(timeout)")
        self._workers.begin_drain(timeout)
        await self._workers.closed.wait()
        return await self._report()

    async def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; with *wait*, return when those there are have ended.

        With *cancel_futures*, what has not started is settled as ``RETURNED`` at once.
        """
        core = self._core
        if wait and core.state is not PoolState.CLOSED:
            self._refuse_to_wait_here("shutdown()", "shutdown(wait=False)")
        self._workers.begin_drain(None)
        if cancel_futures:
            give_back_waiting(core)
        if wait:
            await self._workers.closed.wait()
            await self._report()

    def request_drain(self, timeout: float | None = None) -> None:
        """Begin a drain without waiting for it: for jobs, done-callbacks, signal handlers and other threads.

        From now on the pool refuses work.
        """
        check_seconds("request_drain(timeout)", timeout, zero=True)
        self._core.request_drain(timeout)

    def drain_on_signal(
        self, timeout: float | None = 30.0, signals: Iterable[int] = (signal.SIGTERM, signal.SIGINT)
    ) -> DrainOnLoopSignal:
        """A ``with`` block in which the first of *signals* drains the pool, the second cancels.

        It goes through ``loop.add_signal_handler``. See `DrainOnLoopSignal`.
        """
        check_seconds("drain_on_signal(timeout)", timeout, zero=True)
        return DrainOnLoopSignal(self._workers, timeout, signals)

    def __enter__(self) -> NoReturn:
        raise TypeError("an AsyncPool is entered with `async with AsyncPool(...) as pool:`")

    def __exit__(self, *_: object) -> None:
        """Unreachable; Python requires it so that `__enter__` can raise the helpful error."""

    async def __aenter__(self) -> Self:
        self._workers.check_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain without limit; if the block is left because its task was cancelled, without patience."""
        self._workers.begin_drain(0.0 if isinstance(error, asyncio.CancelledError) else None)
        if await wait_closed(self._workers) and error is None:
            await end_stuck(self._workers)
            raise asyncio.CancelledError
        await end_stuck(self._workers)

    async def _report(self) -> DrainReport:
        report = self._core.report
        assert report is not None
        await end_stuck(self._workers)
        return report

    def _refuse_to_wait_here(self, what: str, instead: str) -> None:
        if self._workers.is_own_thread():
            raise RuntimeError(
                f"{what} was called from a job of pool {self._core.name!r}, for which it would have to wait itself: "
                f"call {instead} there"
            )

    # -- looking in: see `Books`

    def resize(self, max_workers: int) -> None:
        """Change how many jobs run at a time. No job is lost or interrupted.

        Raises:
            TypeError, ValueError: unless *max_workers* is a whole number greater than 0.
            PoolClosed: the pool is closed.
        """
        self._workers.resize(check_workers(max_workers))
