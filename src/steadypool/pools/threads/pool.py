"""`ThreadPool`: the contract on threads. `pools.threads.worker` describes how it works."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import FunctionType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import Retry
from steadypool.pools.core.functions import ASYNC_CODE
from steadypool.pools.core.greenlets import THREADS, check_unpatched
from steadypool.pools.core.settings import OnFull, check_settings, check_workers
from steadypool.pools.core.shared import Job
from steadypool.pools.executor.contract import PoolContract, Prepared
from steadypool.pools.threads.caller_runs import CallerRuns
from steadypool.pools.threads.workers import ThreadWorkers
from steadypool.primitives.arguments import Show
from steadypool.primitives.future import JobFuture

if TYPE_CHECKING:
    from steadypool.model.reports import JobFailure

P = ParamSpec("P")
R = TypeVar("R")

_numbers = itertools.count()


def default_workers() -> int:
    """How many threads a pool has that was not told."""
    # As the standard library has it: some more than processors, since threads mostly wait. From 3.13 on, those count
    # that this process may run on.
    count_processors = getattr(os, "process_cpu_count", os.cpu_count)
    return min(32, (count_processors() or 1) + 4)


class ThreadPool(PoolContract, ThreadPoolExecutor):  # type: ignore[override] # what it writes can only be read here
    """A bounded pool of threads: a drop-in for `concurrent.futures.ThreadPoolExecutor`.

    Args:
        max_workers: how many jobs run at a time; by default as the standard library has it.
        thread_name_prefix: what the threads' names begin with.
        initializer: called in each new worker, with *initargs*; if it raises, the pool is broken and says so.
        queue_size: how many jobs may wait for a worker; ``None`` for any number.
        on_full: what a submit does when that many wait: ``"block"``, ``"reject"`` (`QueueFull`),
            ``"caller_runs"``, or ``"discard_oldest"``.
        timeout: seconds one attempt of a job may run, for tasks that do not say otherwise.
        total_timeout: seconds from submit to the end of a job's last attempt, likewise.
        retry: when a failed attempt is followed by another, likewise.
        cancel_grace: seconds that a job has to end after it was asked to stop.
        exit_timeout: seconds that a pool left open may take at the end of the interpreter; ``None``: no limit.
        name: what reports call the pool.
        on_error: called with a `JobFailure` for each job that fails, times out or crashes, after its future has
            settled; on the thread that ends the job, or one of its own. What it raises is logged.
        show_arguments: whether reports show what a job was called with; or a function of the task's name, ``args`` and
            ``kwargs`` that returns the text to show instead, such as one that leaves secrets out.

    Raises:
        TypeError, ValueError: at once, for an invalid value.

    It is a subclass of the standard one only because ``loop.set_default_executor`` insists; it shares nothing.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
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
        check_unpatched("ThreadPool", THREADS, "Use the library's own pool, or a program that it does not change")
        number = next(_numbers)
        if not isinstance(thread_name_prefix, str):
            raise TypeError(f"thread_name_prefix must be a str, not {thread_name_prefix!r}")
        settings = check_settings(
            name=name or thread_name_prefix or f"ThreadPool-{number}",
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
            initializer=initializer,
            initargs=initargs,
        )
        workers = default_workers() if max_workers is None else check_workers(max_workers)
        prefix = thread_name_prefix or settings.name
        self._workers = ThreadWorkers(settings, workers, prefix, initializer, initargs)
        self._open(self._workers.core, CallerRuns(self._workers).run)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Have a worker run ``fn(*args, **kwargs)`` and return the job's future.

        On a full queue it does as ``on_full`` says; on a thread that runs an event loop it never blocks.

        Raises:
            QueueFull: no room, and ``on_full`` is ``"reject"``, or this thread runs an event loop.
            PoolClosed: the pool takes no more jobs.
            TypeError: *fn* is nothing that a thread can run.
        """
        core = self._core
        if core.refusal is not None:
            raise core.refusal()
        if type(fn) is FunctionType and not fn.__code__.co_flags & ASYNC_CODE:
            options = core.options
        else:
            fn, options = self._workers.resolve(fn)
        workers = self._workers
        try:
            try:
                core.queue.room.pop()
            except IndexError:
                return self._submit_when_full(options, fn, args, kwargs)
            job = JobFuture(core, options, fn, args, kwargs, copy_context(), monotonic(), next(core.tickets))
            if core.emitter.sinks:
                core.emitter.defer_submitted(job)
            if not options.plain:
                return core.admission.enter(job)
            core.queue.items.append(job)
            if workers.parked or workers.may_grow:
                core.admission.wake_worker_for(job)
            if core.refusal is not None:  # another thread may have closed the pool since the look above
                core.admission.check_in(job)  # type: ignore[unreachable]
            if core.emitter.sinks:
                core.emitter.emit_deferred(job)
            return job
        except BaseException as error:
            core.reconciler.submit_raised(error)
            raise

    def resize(self, max_workers: int) -> None:
        """Change how many jobs run at a time. No job is lost or interrupted.

        Raises:
            TypeError, ValueError: unless *max_workers* is a whole number greater than 0.
            PoolClosed: the pool is closed.
        """
        self._workers.resize(check_workers(max_workers))

    @property
    def _threads(self) -> set[threading.Thread]:  # type: ignore[override]
        return self._workers.threads


class CallerPool(ThreadPool):
    """A `ThreadPool` for a floor above, which submits what it has prepared and finds it ended."""

    def _submit_prepared(self, calls: Sequence[Prepared]) -> list[Job]:
        """See `PoolContract._submit_prepared`."""
        return [self._run_in_caller(options, fn, args, {}) for options, fn, args in calls]
