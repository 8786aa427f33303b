"""An `AsyncPool` on a loop in a thread of its own, for callers that do not run on a loop: the command line, a durable
worker.

It takes coroutine functions and hands out ``concurrent.futures`` futures with the outcome on them. Submitting does
not wait for the loop: the caller bounds what is under way by its own window.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures._base import PENDING, RUNNING
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from steadypool.model.clock import monotonic
from steadypool.model.error_text import in_a_line
from steadypool.model.errors import JobCancelled, PoolClosed
from steadypool.model.reports import DrainReport
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.aio.entered import Entered, Manager
from steadypool.pools.aio.future import AsyncJob
from steadypool.pools.aio.pool import AsyncPool
from steadypool.pools.executor.contract import Prepared
from steadypool.pools.inspect.inspection import Inspection
from steadypool.primitives.thread_stacks import thread_stack
from steadypool.primitives.wakeup import Waker

R = TypeVar("R")
CoroutineFunction = Callable[..., Awaitable[object]]
Submit = Callable[[], Coroutine[object, object, AsyncJob]]
PATIENCE = 1.0
"""Seconds beyond its limit after which a drain stops relying on the loop: a job may hold the loop itself."""


class LoopFuture(concurrent.futures.Future[object]):
    """The future of one job, in the caller's world. Settled once, by the loop or by who has given the loop up."""

    outcome: Outcome | None = None
    attempts = 0
    job: AsyncJob | None = None
    """The job itself, once it was submitted. Only for the loop's thread."""
    told: str | None = None
    """Why it was to be cancelled before it was submitted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._unbegun = [None]

    def take(self) -> bool:
        """Whether the caller is the first to take it: who runs it, or who hands it back. From any thread."""
        try:
            self._unbegun.pop()
        except IndexError:
            return False
        return True

    def cancel(self, *, running: bool = False, cause: str = "cancelled") -> bool:
        """Have the job cancelled, as `JobFuture.cancel` does; whether it was is seen when it ends."""
        if self.done():
            return False
        self._loop.call_soon_threadsafe(self._cancel_on_loop, running, cause)
        return True

    def drop(self) -> None:
        """On the loop: it was handed back, and is not to begin."""
        if self.job is None:
            self.told = "cancelled"
        else:
            self.job.cancel(running=True)

    def until_cancelled(self) -> Awaitable[object]:
        """On the loop: what runs instead of a job that was handed back, until `drop` is called."""
        return self._loop.create_future()

    def _wake_when_done(self, waker: Waker) -> None:
        """As `JobFuture` does it."""
        self.add_done_callback(lambda _: waker.release())

    def _cancel_on_loop(self, running: bool, cause: str) -> None:
        if self.job is None:
            self.told = cause
        else:
            self.job.cancel(running=running, cause=cause)

    def settle(self, outcome: Outcome, attempts: int, error: BaseException | None, result: object = None) -> bool:
        """Record the end; false if that was done."""
        if not self._is_first():
            return False
        self.outcome, self.attempts = outcome, attempts
        if error is None:
            self.set_result(result)
        else:
            self.set_exception(error)
        return True

    def _is_first(self) -> bool:
        """Whether the caller is the first to settle it."""
        with self._condition:
            first, self._state = self._state == PENDING, RUNNING if self._state == PENDING else self._state
            return first


class Start:
    """What the pool is given as a job's function: it begins the job, unless that was handed back."""

    __slots__ = ("_fn", "_future")

    def __init__(self, future: LoopFuture, fn: CoroutineFunction) -> None:
        self._future = future
        self._fn = fn

    def __call__(self, *args: object) -> Awaitable[object]:
        return self._fn(*args) if self._future.take() else self._future.until_cancelled()


class LoopPool(Inspection):
    """What `kinds.LinePool` asks for. The arguments are those of `AsyncPool`.

    Args:
        loop: a loop that another thread runs, instead of one of its own.
    """

    def __init__(
        self, max_workers: int | None = None, *, loop: asyncio.AbstractEventLoop | None = None, **options: Any
    ) -> None:
        self._pool = AsyncPool(**options) if max_workers is None else AsyncPool(max_workers, **options)
        self._core = self._pool._core
        self._loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="steadypool-loop", daemon=True)
        self._under_way: set[LoopFuture] = set()
        self._entered: list[Entered] = []
        self._is_blocked = False
        """The loop has not come to what it was last given: a job may hold it."""
        self._has_own_loop = loop is None
        if self._has_own_loop:
            self._thread.start()
        self._wait(self._open(), None)

    def submit_within(self, seconds: float, fn: Callable[..., object], /, *args: object) -> LoopFuture:
        """Submit. The caller's window is the bound, so it never waits."""
        if self._core.refusal is not None:
            raise self._core.refusal()
        self._core.workers.resolve(fn)
        submit = partial(self._pool.submit, cast("CoroutineFunction", fn), *args)
        return self._post(LoopFuture(self._loop), submit)

    def _post(self, future: LoopFuture, submit: Submit) -> LoopFuture:
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        self._loop.call_soon_threadsafe(self._start, future, submit)
        return future

    def _submit_prepared(self, calls: Sequence[Prepared]) -> list[LoopFuture]:
        """As `PoolContract._submit_prepared`. The caller keeps account of room."""
        futures: list[LoopFuture] = []
        for options, fn, args in calls:
            if self._core.refusal is not None:
                break
            future = LoopFuture(self._loop)
            start = Start(future, cast("CoroutineFunction", fn))
            submit = partial(self._pool._submit_in_turn, "block", None, options, start, args, {})
            futures.append(self._post(future, submit))
        return futures

    def _hand_back(self, future: LoopFuture) -> bool:
        """As `PoolContract._hand_back`, though a job may hold the loop: what the loop has to do follows."""
        error = JobCancelled("it was handed back before it started", cause="returned")
        if not (future.take() and future.settle(Outcome.RETURNED, 0, error)):
            return False
        self._is_blocked = True
        try:
            self._loop.call_soon_threadsafe(self._drop, future)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
        return True

    def _drop(self, future: LoopFuture) -> None:
        self._is_blocked = False
        future.drop()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `ThreadPool.shutdown`."""
        ended = asyncio.run_coroutine_threadsafe(self._pool.shutdown(wait, cancel_futures=cancel_futures), self._loop)
        if wait:
            ended.result()

    def request_drain(self, timeout: float | None) -> None:
        """As `ThreadPool.request_drain`; what is under way ends by then, though the loop may be held by a job."""
        self._pool.request_drain(timeout)
        if timeout is not None:
            watch = threading.Timer(self._limit(timeout), self._give_up_the_loop)
            watch.daemon = True
            watch.start()

    def drain(self, timeout: float | None = None) -> DrainReport:
        """As `ThreadPool.drain`; it also ends when a job holds the loop and never lets go."""
        began = monotonic()
        limit = None if timeout is None else self._limit(timeout)
        try:
            report = self._wait(self._drain(timeout), limit)
        except concurrent.futures.TimeoutError:
            return self._without_the_loop(monotonic() - began)
        if self._has_own_loop:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        return report

    def enter(self, manager: Manager) -> object:
        """Enter a context manager on the loop; it is left when the pool has drained, the last one first."""
        return self._wait(self._enter(manager), None)

    async def _enter(self, manager: Manager) -> object:
        entered = Entered(manager)
        resources = await entered.resources()
        self._entered.append(entered)
        return resources

    async def _drain(self, timeout: float | None) -> DrainReport:
        report = await self._pool.drain(timeout)
        notes: list[str] = []
        while self._entered:
            try:
                await self._entered.pop().leave()
            except Exception as error:
                notes.append(f"leaving what was entered on the loop raised {in_a_line(error)}")
        return replace(report, notes=(*report.notes, *notes)) if notes else report

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _wait(self, coroutine: Coroutine[object, object, R], seconds: float | None) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _open(self) -> None:
        await self._pool.__aenter__()

    def _start(self, future: LoopFuture, submit: Submit) -> None:
        """On the loop: submit, and have the future follow the job. One that was handed back is not submitted."""
        asyncio.Task(self._follow(future, submit), loop=self._loop)

    async def _follow(self, future: LoopFuture, submit: Submit) -> None:
        if future.done():
            return
        try:
            job = await submit()
        except PoolClosed as error:
            future.settle(Outcome.RETURNED, 0, JobCancelled(f"the pool closed: {error}", cause="shutdown"))
            return
        future.job = job
        if future.told is not None:
            job.cancel(running=True, cause=future.told)
        await asyncio.wait((job,))
        assert job.outcome is not None
        try:
            result = job.result()
        except BaseException as error:
            future.settle(job.outcome, job.attempts, error)
        else:
            future.settle(job.outcome, job.attempts, None, result)

    def _limit(self, timeout: float) -> float:
        return timeout + self._core.settings.cancel_grace + PATIENCE

    def _give_up_the_loop(self) -> None:
        """The drain's time has passed. If the pool is not closed, a job holds the loop: settle what is under way."""
        if self._pool.state is not PoolState.CLOSED:
            for future in tuple(self._under_way):
                error = JobCancelled("the event loop is blocked by a job that does not await", cause="shutdown")
                future.settle(Outcome.INTERRUPTED, 1, error)

    def _without_the_loop(self, elapsed: float) -> DrainReport:
        """What can be said when a job blocks the loop."""
        stack, _ = thread_stack(self._thread.ident, __file__)
        note = f"the event loop has been blocked by a job that does not await, here:\n{stack.rstrip()}"
        stats = self._pool.stats()
        return DrainReport(stats.name, stats.state, elapsed, False, stats, errors=self._pool.errors(), notes=(note,))
