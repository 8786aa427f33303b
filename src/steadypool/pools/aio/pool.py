"""`AsyncPool`: the contract on asyncio. `pools.aio.workers` describes how it works."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import signal
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextvars import copy_context
from inspect import CO_COROUTINE
from types import FunctionType, TracebackType
from typing import Literal, NoReturn, ParamSpec, Self, TypeVar, overload

from steadypool.model.checks import check_seconds
from steadypool.model.clock import monotonic
from steadypool.model.errors import WouldDeadlock
from steadypool.model.options import Retry, TaskOptions
from steadypool.model.reports import DrainReport, JobFailure
from steadypool.model.states import PoolState
from steadypool.pools.aio import map
from steadypool.pools.aio.attempts import TURN
from steadypool.pools.aio.drain_on_signal import DrainOnLoopSignal
from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.group import AsyncGroup
from steadypool.pools.aio.map_input import Items
from steadypool.pools.aio.queue_wait import wait_for_room
from steadypool.pools.aio.shutdown import end_stuck, wait_closed
from steadypool.pools.aio.workers import AsyncWorkers
from steadypool.pools.core import at_exit
from steadypool.pools.core.settings import OnFull, check_settings, check_workers
from steadypool.pools.core.shared import Args, Kwargs
from steadypool.pools.core.supervisor import give_back_waiting
from steadypool.pools.executor.contract import let_watch
from steadypool.pools.executor.map_options import MapOptions
from steadypool.pools.inspect.inspection import Inspection
from steadypool.primitives.arguments import Show

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_numbers = itertools.count()


class AsyncPool(Inspection):
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
        TypeError, ValueError: at once, for an invalid value.

    It belongs to the loop on which it is first used, as a rule by ``async with``. From other threads and loops there
    are `submit_threadsafe`, `request_drain`, and the books (`stats`, `errors`, `state`).
    """

    def __init__(
        self,
        max_workers: int = 100,
        *,
        queue_size: int | None = 1000,
        on_full: OnFull = "block",
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
        at_exit.was_made(self._core)
        let_watch(self._core, 3)
        # A pool that is no longer referenced ends: its attempts know the core alone.
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
            if options.gates is not None:
                return await self._submit_in_turn(core.settings.on_full, None, options, fn, args, kwargs)
        job = self._workers.launcher.take_on(options, fn, args, kwargs)
        if job is not None:
            return job
        return await self._submit_in_turn(core.settings.on_full, None, options, fn, args, kwargs)

    async def _submit_in_turn(
        self,
        on_full: str,
        seconds: float | None,
        options: TaskOptions,
        fn: Callable[..., Awaitable[R]],
        args: Args,
        kwargs: Kwargs,
    ) -> AsyncJobFuture[R]:
        """Submit a job that was not taken on at once: let the loop go round, or do what a full queue asks for.

        A ``"block"`` waits *seconds* for room.
        """
        core, workers = self._core, self._workers
        workers.check_loop()
        if workers.launcher.must_turn():
            await TURN
        if core.refusal is not None:
            raise core.refusal()
        job = None if options.gates is not None else workers.launcher.take_on(options, fn, args, kwargs)
        if job is not None:
            return job
        if not core.queue.blocked and core.queue.take_room():
            return workers.launcher.enqueue(self._new_job(options, fn, args, kwargs), has_room=True)
        if on_full == "reject":
            raise core.reject(fn, options, f"the queue of pool {core.name!r} is full ({core.queue.size} jobs wait)")
        core.forecast.look()
        if on_full == "caller_runs" and options.gates is None:
            job = self._new_job(options, fn, args, kwargs)
            await workers.launcher.run_beyond_the_bound(job)
            return job
        if on_full in ("block", "caller_runs") and workers.waits.is_own_thread():
            # A job that waited for room in its own pool might wait for itself.
            return workers.launcher.enqueue(self._new_job(options, fn, args, kwargs), has_room=False)
        if not (on_full == "discard_oldest" and self._discard_oldest()):
            await self._wait_for_room(seconds, options, fn)
        return workers.launcher.enqueue(self._new_job(options, fn, args, kwargs), has_room=True)

    async def _wait_for_room(self, seconds: float | None, options: TaskOptions, fn: Callable[..., object]) -> None:
        core = self._core
        has_room = await wait_for_room(self._workers, seconds)
        if core.refusal is not None:
            if has_room:
                core.queue.give_room()
            raise core.refusal()
        if not has_room:
            raise core.reject(fn, options, f"the queue of pool {core.name!r} had no room within {seconds:g} s")

    def _discard_oldest(self) -> bool:
        """Take the room of the job that has waited longest; false if none waits in the queue."""
        core = self._core
        while not core.queue.take_room():
            oldest = core.queue.take_last_in_rank()
            if oldest is None:
                return False
            core.admission.discard(oldest)
        return True

    def _new_job(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: Args, kwargs: Kwargs
    ) -> AsyncJobFuture[R]:
        number = next(self._core.tickets)
        return AsyncJobFuture(self._workers, options, fn, args, kwargs, copy_context(), monotonic(), number)

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
        return await self._submit_in_turn("reject", None, options, function, args, kwargs)

    async def submit_within(
        self, seconds: float, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJobFuture[R]:
        """Submit, waiting up to *seconds* for room, whatever ``on_full`` says.

        Raises:
            QueueFull: there was none in that time.
            PoolClosed: the pool takes no more jobs, or closed meanwhile.
            TypeError, ValueError: for an invalid value.
        """
        if check_seconds("submit_within(seconds)", seconds, zero=True) is None:
            raise TypeError("submit_within(seconds) must be a number of seconds, not None; use submit to wait for ever")
        function, options = self._workers.resolve(fn)
        on_full = "block" if seconds else "reject"
        return await self._submit_in_turn(on_full, seconds, options, function, args, kwargs)

    async def _submit_patiently(
        self, options: TaskOptions, fn: Callable[..., Awaitable[R]], args: Args
    ) -> AsyncJobFuture[R]:
        """Submit for a map, which waits for room whatever ``on_full`` says."""
        return await self._submit_in_turn("block", None, options, fn, args, {})

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

    @overload
    def map(
        self,
        fn: Callable[..., Awaitable[R]],
        *iterables: Items[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: Literal[False] = False,
    ) -> AsyncGenerator[R, None]: ...
    @overload
    def map(
        self,
        fn: Callable[..., Awaitable[R]],
        *iterables: Items[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool,
    ) -> AsyncGenerator[R | Exception, None]: ...
    def map(
        self,
        fn: Callable[..., Awaitable[R]],
        *iterables: Items[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool = False,
    ) -> AsyncGenerator[R | Exception, None]:
        """``async for result in pool.map(fn, items)``: results in order, lazily, at most *buffersize* in flight.

        Args:
            fn: the coroutine function or task.
            iterables: where its arguments come from, plain or asynchronous iterables; they may be endless.
            timeout: seconds from this call within which every result must be there.
            chunksize, read_here: without meaning here; taken so that all pools take the same.
            buffersize: how many jobs may be in flight; by default ``queue_size``.
            return_exceptions: go on after a failure, and give an item's exception in the place of its result.

        Returns:
            An asynchronous generator. Closing it cancels what has not started.

        Raises:
            TimeoutError: from the generator, when *timeout* has passed.
            PoolClosed: from the generator, when the pool closes under it, after the results that were finished.
        """
        options = MapOptions(
            chunksize, buffersize, timeout=timeout, read_here=read_here, return_exceptions=return_exceptions
        )
        return map.ordered(self, fn, iterables, options)

    @overload
    def map_unordered(
        self,
        fn: Callable[[T], Awaitable[R]],
        iterable: Items[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: Literal[False] = False,
    ) -> AsyncGenerator[R, None]: ...
    @overload
    def map_unordered(
        self,
        fn: Callable[[T], Awaitable[R]],
        iterable: Items[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool,
    ) -> AsyncGenerator[R | Exception, None]: ...
    def map_unordered(
        self,
        fn: Callable[[T], Awaitable[R]],
        iterable: Items[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool = False,
    ) -> AsyncGenerator[R | Exception, None]:
        """Results as they end, lazily, with at most *buffersize* jobs in flight; otherwise as `map`."""
        options = MapOptions(chunksize, buffersize, read_here=read_here, return_exceptions=return_exceptions)
        return map.unordered(self, fn, iterable, options)

    def group(self) -> AsyncGroup:
        """An ``async with`` scope for jobs that belong together: nothing in it outlives it; see `AsyncGroup`."""
        return AsyncGroup(self.submit)

    # -- the end

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Refuse new jobs, let the accepted ones end, and report what became of each.

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
        await self._workers.supervision.closed.wait()
        return await self._report()

    async def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; with *wait*, return when the accepted ones have ended.

        With *cancel_futures*, what has not started is settled as ``RETURNED`` at once.
        """
        core = self._core
        if wait and core.state is not PoolState.CLOSED:
            self._refuse_to_wait_here("shutdown()", "shutdown(wait=False)")
        self._workers.begin_drain(None)
        if cancel_futures:
            give_back_waiting(core)
        if wait:
            await self._workers.supervision.closed.wait()
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
        if await wait_closed(self._core, self._workers.supervision.closed) and error is None:
            await end_stuck(self._workers.attempts)
            raise asyncio.CancelledError
        await end_stuck(self._workers.attempts)

    async def _report(self) -> DrainReport:
        report = self._core.report
        assert report is not None
        await end_stuck(self._workers.attempts)
        return report

    def _refuse_to_wait_here(self, what: str, instead: str) -> None:
        if self._workers.waits.is_own_thread():
            raise RuntimeError(
                f"{what} would deadlock: it was called from a job of pool {self._core.name!r} and would wait for "
                f"itself. Call {instead} instead."
            )

    # -- looking in: see `Inspection`

    def resize(self, max_workers: int) -> None:
        """Change how many jobs run at a time. No job is lost or interrupted.

        Raises:
            TypeError, ValueError: unless *max_workers* is a whole number greater than 0.
            PoolClosed: the pool is closed.
        """
        self._workers.resize(check_workers(max_workers))
