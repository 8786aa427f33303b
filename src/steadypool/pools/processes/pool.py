"""`ProcessPool`: the contract on processes. `pools.processes.workers` describes how it works."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from steadypool.model.checks import check_count
from steadypool.model.clock import monotonic
from steadypool.model.options import Retry
from steadypool.pools.core import at_exit
from steadypool.pools.core.functions import ASYNC_CODE
from steadypool.pools.core.greenlets import PROCESSES, check_unpatched
from steadypool.pools.core.settings import OnFull, check_settings, check_workers
from steadypool.pools.core.shared import Job
from steadypool.pools.executor.contract import PoolContract, Prepared
from steadypool.pools.processes.chunk import Chunk, Landed
from steadypool.pools.processes.memory import memory_reader
from steadypool.pools.processes.worker_args import Initializer, WorkerOptions
from steadypool.pools.processes.workers import ProcessWorkers
from steadypool.pools.threads.caller_runs import CallerRuns
from steadypool.primitives.arguments import Show
from steadypool.primitives.future import JobFuture

if TYPE_CHECKING:
    from steadypool.model.reports import JobFailure

P = ParamSpec("P")
R = TypeVar("R")
_numbers = itertools.count()

# multiprocessing joins its processes when the interpreter ends, in a handler that it has registered by now. What is
# registered later runs earlier: the pools are drained, and their processes gone, before it would wait for them.
atexit.register(at_exit.drain_all)


class ProcessPool(PoolContract):
    """A bounded pool of processes: a drop-in for `concurrent.futures.ProcessPoolExecutor`.

    A job that dies takes only itself along, and a time limit kills what it limits.

    Args:
        max_workers: how many jobs run at a time; by default one for each processor.
        mp_context: how workers are started, from `multiprocessing.get_context`; by default ``forkserver`` where
            there is one, since a fork of a program with threads can deadlock.
        initializer: called in each new worker, with *initargs*; if it raises, the pool is broken and says so.
        max_tasks_per_child: jobs after which a worker is replaced.
        max_memory_per_child: bytes of resident memory above which a worker is replaced, looked at between jobs.

    The settings behind these are those of `ThreadPool`.

    Raises:
        TypeError, ValueError: at once, for an invalid value.
        OSError: *max_memory_per_child* is given where the memory of a process cannot be read.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
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
        check_unpatched(
            "ProcessPool", PROCESSES, "Make the pool in a program that it does not change, or enqueue the jobs for one"
        )
        settings = check_settings(
            name=f"ProcessPool-{next(_numbers)}" if name is None else name,
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
        workers = os.cpu_count() or 1 if max_workers is None else check_workers(max_workers)
        started_with = WorkerOptions(
            initializer=None if initializer is None else Initializer(initializer, initargs),
            max_tasks=_count_or_none("max_tasks_per_child", max_tasks_per_child),
            max_memory=_count_or_none("max_memory_per_child", max_memory_per_child),
            default_context=mp_context is None,
        )
        if max_memory_per_child is not None:
            memory_reader()  # fails here where it would fail in the workers
        self._workers = ProcessWorkers(settings, workers, _context(mp_context), started_with)
        self._open(self._workers.core, CallerRuns(self._workers).run)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobFuture[R]:
        """Have a worker process run ``fn(*args, **kwargs)`` and return the job's future.

        Function and arguments are pickled here and now, by `cloudpickle` where pickle refuses; what cannot be
        pickled fails the job, with the pickling error itself. On a full queue it does as ``on_full`` says; on a
        thread that runs an event loop it never blocks.

        Raises:
            QueueFull: no room, and ``on_full`` is ``"reject"``, or this thread runs an event loop.
            PoolClosed: the pool takes no more jobs.
            TypeError: *fn* is nothing that a process can run.
        """
        core = self._core
        if core.refusal is not None:
            raise core.refusal()
        if type(fn) is FunctionType and not fn.__code__.co_flags & ASYNC_CODE:
            options = core.options
        else:
            fn, options = self._workers.resolve(fn)
        try:
            try:
                core.queue.room.pop()
            except IndexError:
                return self._submit_when_full(options, fn, args, kwargs)
            # Only sinks can have a use for the context: it does not travel.
            context = copy_context() if core.emitter.sinks else None
            job: JobFuture[R] = JobFuture(core, options, fn, args, kwargs, context, monotonic(), next(core.tickets))
            is_prepared = False
            try:
                is_prepared = self._workers.prepare(job)
            finally:  # it may raise what is no Exception
                if not is_prepared:
                    core.queue.give_room()
            if not is_prepared:
                return job
            if not options.plain or core.emitter.sinks:
                return core.admission.enter_announced(job)
            core.queue.items.append(job)
            if not self._workers.fleet.full:
                self._workers.pump.pump_for(job)
            if core.refusal is not None:  # another thread may have closed the pool since the look above
                core.admission.check_in(job)  # type: ignore[unreachable]
        except BaseException as error:
            core.reconciler.submit_raised(error)
            raise
        return job

    _sends_together = True

    def _items_together(self, fn: Callable[..., object], window: int) -> int:
        return self._workers.chunks.items_together(self._workers.resolve(fn)[0], window)

    def _submit_many(
        self, fn: Callable[..., R], batch: list[tuple[object, ...]], landed: Landed | None = None
    ) -> Iterator[JobFuture[R] | Chunk]:
        """Submit items of a map: those that are plain travel together."""
        core = self._core
        carried, options = self._workers.resolve(fn)
        alone = not (options.bare and self._workers.fleet.takes_chunks) or bool(core.emitter.sinks)
        while batch:
            if core.refusal is not None:
                raise core.refusal()
            try:
                chunk = None if alone or len(batch) < 2 else self._workers.chunks.enter(options, carried, batch, landed)
            except BaseException as error:
                core.reconciler.submit_raised(error)
                raise
            if chunk is not None:
                yield chunk
                batch = batch[chunk._size :]
                continue
            alone = True
            for args in batch:
                yield self._submit_patiently(fn, args)
            return

    def _submit_prepared(self, calls: Sequence[Prepared]) -> list[Job]:
        """As `PoolContract._submit_prepared`. Workers are looked for once all are in the queue: a worker that is woken
        for the first finds the others there."""
        core = self._core
        jobs: list[Job] = []
        entering: list[Job] = []
        for options, fn, args in calls:
            if core.refusal is not None or not core.queue.take_room():
                break
            job: Job = JobFuture(core, options, fn, args, {}, None, monotonic(), next(core.tickets))
            jobs.append(job)
            if not self._workers.prepare(job):
                core.queue.give_room()
                continue
            if core.emitter.sinks:
                core.emitter.defer_submitted(job)
            core.admission.set_limits(job)
            entering.append(job)
        return jobs[: len(jobs) - self._workers.pump.enter_all(entering)]

    def resize(self, max_workers: int) -> None:
        """Change how many jobs run at a time. No job is lost or interrupted.

        Raises:
            TypeError, ValueError: unless *max_workers* is a whole number greater than 0.
            PoolClosed: the pool is closed.
        """
        self._workers.set.resize(check_workers(max_workers))

    def worker_pids(self) -> list[int]:
        """The process ids of the workers that live now."""
        return self._workers.fleet.pids()

    @property
    def _processes(self) -> dict[int, BaseProcess]:
        return {worker.pid: worker.process for worker in list(self._workers.workers) if worker.started}


def _count_or_none(what: str, value: object) -> int | None:
    return None if value is None else check_count(what, value)


def _context(given: BaseContext | None) -> BaseContext:
    if given is None:
        methods = multiprocessing.get_all_start_methods()
        given = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if not hasattr(given, "Process") or not hasattr(given, "get_start_method"):
        raise TypeError(f'mp_context must come from multiprocessing.get_context("spawn") or the like, not {given!r}')
    # pdb before Python 3.12 takes it away, and multiprocessing then starts no process but by a fork.
    vars(sys.modules["__main__"]).setdefault("__spec__", None)
    if given.get_start_method() == "forkserver":
        _preload()
    return given


def _preload() -> None:
    """Have the forkserver import what workers need, once, before it forks the first of them."""
    server: Any = forkserver._forkserver
    wanted = "steadypool.pools.processes.forkserver_preload"
    with suppress(AttributeError):
        if wanted not in server._preload_modules:
            server.set_forkserver_preload([*server._preload_modules, wanted])
