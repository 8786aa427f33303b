"""The contract that `ThreadPool` and `ProcessPool` share: every method that does not depend on what a worker is."""

from __future__ import annotations

import os
import signal
import warnings
import weakref
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, ParamSpec, Self, TypeVar, overload

from steadypool.model.checks import check_seconds
from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolClosed
from steadypool.model.options import TaskOptions
from steadypool.model.states import PoolState
from steadypool.pools.core import at_exit
from steadypool.pools.core.core import Core
from steadypool.pools.core.drain_on_signal import DrainOnSignal, in_signal_handler
from steadypool.pools.core.job_errors import forked_error
from steadypool.pools.core.shared import Args, Job, Kwargs
from steadypool.pools.core.supervisor import give_back_waiting
from steadypool.pools.executor import map
from steadypool.pools.executor.group import Group
from steadypool.pools.executor.legs import Landed, Leg
from steadypool.pools.executor.map_options import MapOptions
from steadypool.pools.inspect.inspection import Inspection
from steadypool.primitives.future import JobFuture
from steadypool.primitives.future import running_loop as running_asyncio_loop
from steadypool.primitives.job_context import running_loop

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Prepared = tuple[TaskOptions, Callable[..., object], Args]
"""Options that are complete and checked, a plain function, and its arguments."""


def let_watch(core: Core, depth: int) -> None:
    """Let the pool be watched, if its settings say so. If that is impossible, say so too, and make the pool.

    *depth* is how far away on the stack the code that makes the pool is.
    """
    if not core.settings.monitor:
        return
    # Not above: who is not watched does not pay for it.
    from steadypool.pools.monitor.monitor import watch

    try:
        watch(core)
    except (OSError, RuntimeError) as error:
        message = f"pool {core.name!r} works, but `steadypool top` cannot look at it: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=depth)


class PoolContract(Inspection, Executor):
    """What every pool of workers does. A driver adds ``submit``, ``resize`` and the core behind ``_core``."""

    _core: Core
    _sends_together = False
    """Whether items of a map may travel to their worker together."""
    _is_blocked = False
    """Whether a job may hold up all others."""

    def _open(self, core: Core, run_in_caller: Callable[[Job], None]) -> None:
        self._core = core
        self._run_in_caller_thread = run_in_caller
        at_exit.register(core)
        let_watch(core, 4)
        # A pool that is no longer referenced ends: its workers know the core alone. Abandoning takes no lock, so
        # the garbage collector may call this anywhere.
        weakref.finalize(self, core.abandon).atexit = False

    # -- submitting

    @abstractmethod
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Have a worker run ``fn(*args, **kwargs)``; each kind of pool says how."""

    def _submit_when_full(self, options: TaskOptions, fn: Callable[..., R], args: Args, kwargs: Kwargs) -> JobFuture[R]:
        """Do as ``on_full`` says, unless there was room left to be made."""
        core = self._core
        if core.queue.reserve and core.queue.take_room():
            return self._take_on(options, fn, args, kwargs)
        return self._submit_without_room(core.settings.on_full, None, options, fn, args, kwargs)

    def _submit_as(
        self, on_full: str, seconds: float | None, fn: Callable[..., R], args: Args, kwargs: Kwargs
    ) -> JobFuture[R]:
        """Submit whatever the pool's own ``on_full`` is; ``"block"`` waits *seconds*."""
        core = self._core
        if core.refusal is not None:
            raise core.refusal()
        fn, options = core.workers.resolve(fn)
        if core.queue.take_room():
            return self._take_on(options, fn, args, kwargs)
        return self._submit_without_room(on_full, seconds, options, fn, args, kwargs)

    def _submit_without_room(
        self,
        how: str,
        seconds: float | None,
        options: TaskOptions,
        fn: Callable[..., R],
        args: Args,
        kwargs: Kwargs,
    ) -> JobFuture[R]:
        core = self._core
        core.forecast.look()
        if how == "caller_runs" and options.gates is not None:
            how = "block"  # the caller cannot run what a limit holds back
        if core.workers.waits.is_own_thread() and how == "block":
            # A worker that waited for room would wait for itself.
            return self._take_on(options, fn, args, kwargs, has_room=False)
        if how == "caller_runs":
            return self._run_in_caller(options, fn, args, kwargs)
        if how == "discard_oldest":
            return self._submit_discarding(options, fn, args, kwargs)
        if how == "reject":
            raise core.reject(fn, options, f"the queue of pool {core.name!r} is full ({core.queue.size} jobs wait)")
        return self._submit_waiting(seconds, options, fn, args, kwargs)

    def _submit_waiting(
        self, seconds: float | None, options: TaskOptions, fn: Callable[..., R], args: Args, kwargs: Kwargs
    ) -> JobFuture[R]:
        core = self._core
        if running_loop() is not None:
            raise core.reject(
                fn,
                options,
                f"the queue of pool {core.name!r} is full, and this thread runs an event loop that must not block: "
                "use `await pool.run(fn, ...)`, which waits for room without blocking",
            )
        if not core.queue.wait_for_room(seconds, lambda: core.refusal is not None):
            if core.refusal is not None:
                raise core.refusal()
            raise core.reject(fn, options, f"the queue of pool {core.name!r} had no room within {seconds:g} s")
        return self._take_on(options, fn, args, kwargs)

    def _submit_discarding(
        self, options: TaskOptions, fn: Callable[..., R], args: Args, kwargs: Kwargs
    ) -> JobFuture[R]:
        core = self._core
        while not core.queue.take_room():
            oldest = core.queue.take_last_in_rank()
            if oldest is not None:
                core.admission.discard(oldest)
            elif core.queue.wait_for_room(0.001, lambda: core.refusal is not None):
                break  # a worker had the last of them between two places
            if core.refusal is not None:
                raise core.refusal()
        return self._take_on(options, fn, args, kwargs)

    def _run_in_caller(self, options: TaskOptions, fn: Callable[..., R], args: Args, kwargs: Kwargs) -> JobFuture[R]:
        core = self._core
        if core.refusal is not None:
            raise core.refusal()
        job: JobFuture[R] = JobFuture(core, options, fn, args, kwargs, copy_context(), monotonic(), next(core.tickets))
        if core.emitter.sinks:
            core.emitter.defer_submitted(job)
        core.admission.set_limits(job)
        self._run_in_caller_thread(job)
        return job

    def _take_on(
        self,
        options: TaskOptions,
        fn: Callable[..., R],
        args: Args,
        kwargs: Kwargs,
        *,
        has_room: bool = True,
    ) -> JobFuture[R]:
        """Make the job and put it into the queue; room, if it needs any, was taken."""
        core = self._core
        if core.refusal is not None:
            if has_room:
                core.queue.give_room()
            raise core.refusal()
        try:
            job: JobFuture[R] = JobFuture(
                core, options, fn, args, kwargs, copy_context(), monotonic(), next(core.tickets)
            )
            is_prepared = False
            try:
                is_prepared = core.workers.prepare(job)
            finally:  # it may raise what is no Exception
                if has_room and not is_prepared:
                    core.queue.give_room()
            if not is_prepared:
                return job
            core.admission.enter_announced(job, has_room=has_room)
        except BaseException as error:
            core.reconciler.submit_raised(error)
            raise
        return job

    def try_submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit if there is room now, whatever ``on_full`` says.

        Raises:
            QueueFull: there is none.
            PoolClosed: the pool takes no more jobs.
            TypeError: *fn* is nothing that a worker can run.
        """
        return self._submit_as("reject", None, fn, args, kwargs)

    def submit_within(self, seconds: float, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Submit, waiting up to *seconds* for room, whatever ``on_full`` says.

        Raises:
            QueueFull: there was none in that time, or this thread runs an event loop.
            PoolClosed: the pool takes no more jobs, or closed meanwhile.
            TypeError, ValueError: for an invalid value.
        """
        if seconds is None:
            raise TypeError("submit_within(seconds) must be a number of seconds, not None; use submit to wait for ever")
        check_seconds("submit_within(seconds)", seconds, zero=True, none=False)
        return self._submit_as("block", seconds, fn, args, kwargs)

    def _submit_patiently(self, fn: Callable[..., R], args: Args) -> JobFuture[R]:
        """Submit for a map or a group, which wait for room whatever ``on_full`` says."""
        if self._core.settings.on_full == "block":
            return self.submit(fn, *args)
        return self._submit_as("block", None, fn, args, {})

    def _items_together(self, fn: Callable[..., R], window: int) -> int:
        """How many items of a map travel together next, if its caller does not say: *fn* is what will run."""
        return 1

    def _submit_many(
        self, fn: Callable[..., R], batch: list[Args], landed: Landed[R] | None = None
    ) -> Iterator[Leg[R]]:
        """Submit items of a map; yields each leg when it is there."""
        for args in batch:
            yield self._submit_patiently(fn, args)

    def _submit_prepared(self, calls: Sequence[Prepared]) -> list[Job]:
        """Submit what a floor above has prepared, all at once.

        Returns:
            The futures, in order; fewer than *calls* if there is no more room, or the pool has closed.
        """
        core = self._core
        futures: list[Job] = []
        for options, fn, args in calls:
            if core.refusal is not None or not core.queue.take_room():
                break
            try:
                futures.append(self._take_on(options, fn, args, {}))
            except PoolClosed:
                break
        return futures

    def _hand_back(self, future: Job) -> bool:
        """Settle one of these as returned that has not begun; false if it has begun or ended."""
        return self._core.termination.hand_back(future)

    async def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submit from asyncio and await the result. It never blocks the loop: it waits for room as a task does.

        Cancelling the awaiting task cancels the job, a running one included.

        Raises:
            QueueFull: no room, and ``on_full`` is ``"reject"``.
            PoolClosed: the pool takes no more jobs.
            Exception: what the job raised, and what `JobFuture.result` says.
        """
        # Not above: who does not use asyncio does not pay for it.
        from asyncio import CancelledError

        job = await self._submit_from_loop(fn, args, kwargs)
        try:
            return await job
        except CancelledError:
            job.cancel(running=True)
            raise

    async def _submit_from_loop(self, fn: Callable[..., R], args: Args, kwargs: Kwargs) -> JobFuture[R]:
        from steadypool.pools.executor.asyncio_bridge import wait_for_room

        core = self._core
        # Before the job is accepted: it would run, and could not be waited for.
        running_asyncio_loop(f"pool.run(...) of pool {core.name!r} is awaited")
        if core.refusal is not None:
            raise core.refusal()
        fn, options = core.workers.resolve(fn)
        if not core.queue.take_room():
            if core.settings.on_full in ("reject", "discard_oldest"):
                return self._submit_when_full(options, fn, args, kwargs)
            if core.workers.waits.is_own_thread():
                return self._take_on(options, fn, args, kwargs, has_room=False)
            await wait_for_room(core)
        return self._take_on(options, fn, args, kwargs)

    # -- many at once

    @overload
    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: Literal[False] = False,
    ) -> Generator[R, None, None]: ...
    @overload
    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool,
    ) -> Generator[R | Exception, None, None]: ...
    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool = False,
    ) -> Generator[R | Exception, None, None]:
        """Like the built-in ``map``: results in order, lazily, with at most *buffersize* jobs in flight.

        Args:
            fn: the function or task.
            iterables: where its arguments come from; they may be endless.
            timeout: seconds from this call within which every result must be there.
            chunksize: how many items travel together where jobs travel (processes). By default short ones do, about
                two milliseconds' worth, and long ones do not; 1 has each travel alone. No meaning on threads.
            buffersize: how many jobs may be in flight; by default ``queue_size``, or 1,000 where that has no bound.
            read_here: read *iterables* on the calling thread, as one that is bound to its thread needs it. By
                default, what may wait (all but lists and their like) is read by a thread of the map's own, so that
                results that are there need not wait for it.
            return_exceptions: go on after a failure, and give an item's exception in the place of its result.

        Returns:
            A generator. Closing it cancels what has not started, but for items of a chunk that a worker has read; so
            does dropping it half-way. Dropped unread, it leaves the jobs alone, as the standard library does.

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
        fn: Callable[[T], R],
        iterable: Iterable[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: Literal[False] = False,
    ) -> Generator[R, None, None]: ...
    @overload
    def map_unordered(
        self,
        fn: Callable[[T], R],
        iterable: Iterable[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool,
    ) -> Generator[R | Exception, None, None]: ...
    def map_unordered(
        self,
        fn: Callable[[T], R],
        iterable: Iterable[T],
        *,
        buffersize: int | None = None,
        chunksize: int | None = None,
        read_here: bool = False,
        return_exceptions: bool = False,
    ) -> Generator[R | Exception, None, None]:
        """Results as they end, lazily, with at most *buffersize* jobs in flight; otherwise as `map`."""
        options = MapOptions(chunksize, buffersize, read_here=read_here, return_exceptions=return_exceptions)
        return map.unordered(self, fn, iterable, options)

    def group(self) -> Group:
        """A ``with`` scope for jobs that belong together: nothing in it outlives it; see `Group`."""
        return Group(self.submit)

    # -- the end

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Refuse new jobs, let the accepted ones end, and report what became of each.

        Args:
            timeout: seconds until what waits is given back and what runs is asked to stop; the call then returns
                within ``cancel_grace``, whatever the jobs do. ``None``: no limit.

        Raises:
            RuntimeError: called from a job or callback of this pool, or a signal handler, which would wait for
                themselves: use `request_drain` there.
        """
        core = self._core
        check_seconds("drain(timeout)", timeout, zero=True)
        self._refuse_to_wait_here("drain(timeout)", "request_drain(timeout)")
        if core.pid != os.getpid():
            raise forked_error(core)
        core.request_drain(timeout)
        return core.wait_for_report(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`: take no more jobs; with *wait*, return when the accepted ones have ended.

        With *cancel_futures*, what has not started is settled as ``RETURNED`` at once.
        """
        core = self._core
        if core.pid != os.getpid():
            return  # a forked child's copy: the pool is its parent's, and goes on there
        if wait and core.state is not PoolState.CLOSED:
            self._refuse_to_wait_here("shutdown()", "shutdown(wait=False)")
        core.request_drain(None)
        if cancel_futures:
            give_back_waiting(core)
        if wait:
            core.wait_for_report(None)

    def request_drain(self, timeout: float | None = None) -> None:
        """Begin a drain without waiting for it: for jobs, done-callbacks and signal handlers.

        From now on the pool refuses work.
        """
        check_seconds("request_drain(timeout)", timeout, zero=True)
        self._core.request_drain(timeout)

    def drain_on_signal(
        self, timeout: float | None = 30.0, signals: Iterable[int] = (signal.SIGTERM, signal.SIGINT)
    ) -> DrainOnSignal:
        """A ``with`` block in which the first of *signals* drains the pool, the second cancels; see `DrainOnSignal`.

        Raises:
            RuntimeError: on entering it in another thread than the main one.
        """
        check_seconds("drain_on_signal(timeout)", timeout, zero=True)
        return DrainOnSignal(self._core, timeout, signals)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until what was submitted has ended; also what unread maps have yet to submit first."""
        if kind is None:
            map.await_first_windows(self._core)
        self.shutdown(wait=True)

    def _refuse_to_wait_here(self, what: str, instead: str) -> None:
        if self._core.workers.waits.is_own_thread():
            raise RuntimeError(
                f"{what} would deadlock: it was called from a job or callback of pool {self._core.name!r} and would "
                f"wait for itself. Call {instead} instead."
            )
        if in_signal_handler():
            raise RuntimeError(
                f"{what} was called from a signal handler, which would hold up the code that it interrupted: "
                f"call {instead} there, or use drain_on_signal()"
            )

    # Names of the standard classes that third parties look at.

    @property
    def _max_workers(self) -> int:
        return self._core.max_workers

    @property
    def _broken(self) -> bool:
        return self._core.broken_by is not None

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"pool {self.name!r} cannot be pickled: it stays in its process. Have the job return what is to be done, "
            "and submit that from here."
        )
