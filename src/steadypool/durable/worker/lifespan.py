"""What a queue's ``lifespan`` has made for the jobs: entered before the first of them, left when the last has ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from steadypool.durable.client.lifespan import Manager
from steadypool.durable.client.nested_waits import Slots
from steadypool.model.error_text import in_a_line
from steadypool.model.errors import PoolBroken, SteadypoolError, WorkerCrashed
from steadypool.primitives.job_context import job_resources


class LifespanFailed(SteadypoolError):
    """The lifespan of a queue could not be entered: its worker has ended, and spent no attempt of a job."""


def failed(error: BaseException) -> LifespanFailed:
    """The error for the caller of the worker."""
    failed = LifespanFailed(f"the lifespan of the queue could not be entered: {in_a_line(error)}")
    failed.__cause__ = error
    return failed


def reason_of(broken: PoolBroken) -> BaseException:
    """Why no process has entered it. A process that died has not said why; the pool says what often is the cause."""
    cause = broken.__cause__
    return broken if cause is None or isinstance(cause, WorkerCrashed) else cause


def manager_of(lifespan: Callable[[], Manager]) -> Manager:
    """What *lifespan* gives.

    Raises:
        TypeError: it is no context manager.
    """
    manager = lifespan()
    if not hasattr(manager, "__enter__") and not hasattr(manager, "__aenter__"):
        raise TypeError(
            f"lifespan must return a context manager, and {lifespan!r} returned {manager!r}: put @contextmanager or "
            "@asynccontextmanager above it"
        )
    return manager


class Lifespan:
    """One that is entered where there is no event loop: for threads, and in a process."""

    def __init__(self, lifespan: Callable[[], Manager]) -> None:
        manager = manager_of(lifespan)
        if isinstance(manager, AbstractContextManager):
            self.resources = manager.__enter__()
            self._leave: Callable[[], object] = lambda: manager.__exit__(None, None, None)
        else:
            self._on_own_loop(manager)

    def leave(self) -> None:
        """The last job has ended. What it raises is for the caller."""
        self._leave()

    def _on_own_loop(self, manager: AbstractAsyncContextManager[Any]) -> None:
        import asyncio  # for those who use it

        from steadypool.pools.aio.entered import Entered

        loop = asyncio.new_event_loop()

        async def enter() -> Entered:
            entered = Entered(manager)
            self.resources = await entered.resources()
            return entered

        try:
            entered = loop.run_until_complete(enter())
        except BaseException:
            loop.close()
            raise

        def leave() -> None:
            try:
                loop.run_until_complete(entered.leave())
            finally:
                loop.close()

        self._leave = leave


def enter_process(lifespan: Callable[[], Manager]) -> None:
    """In a process of a pool, before its first job; it is left when the process ends in order."""
    global _of_process
    from multiprocessing.util import Finalize

    entered = Lifespan(lifespan)
    _of_process = entered.resources
    Finalize(None, entered.leave, exitpriority=100)


def give_in_process() -> None:
    """A job begins in this process."""
    if _of_process is not None:
        job_resources.set(_of_process)


def keep(slots: Slots, resources: object) -> None:
    """All jobs of the worker's threads, or of its loop, are to have these."""
    _kept[slots.folder, slots.on_loop] = resources


def drop(slots: Slots) -> None:
    """The worker has ended."""
    _kept.pop((slots.folder, slots.on_loop), None)


def give(slots: Slots) -> None:
    """A job of that worker's begins in the present context."""
    if _kept:
        job_resources.set(_kept.get((slots.folder, slots.on_loop)))


_of_process: object = None
_kept: dict[tuple[str, bool], object] = {}
