"""One job of an `AsyncPool` and its future, in one object.

A job's cancellation and a caller's are two things, and asyncio has one exception for both. So here:

* **Who awaits a job that was cancelled** gets `JobCancelled`, an ordinary exception: the awaiting task itself was not
  cancelled. ``result()`` and ``exception()`` say the same. Where asyncio looks for itself (`asyncio.gather`,
  `asyncio.shield`), ``cancelled()`` is what it goes by, and it makes its own ``CancelledError`` of a true one.
* **Who is cancelled while awaiting** gets ``asyncio.CancelledError`` at once, and the job is cancelled as asyncio
  cancels a task that is awaited: a waiting one ends, a running one is asked to stop and has the pool's grace.
  `asyncio.shield` and `asyncio.wait` leave it alone, as they leave tasks alone. Awaiting goes through a waiter of its
  own, so that the caller does not have to wait for the grace.
* **asyncio's own calls of** ``cancel`` (`asyncio.gather` passes ``msg``; `asyncio.wait_for` of Python 3.11 is known by
  its frame) mean the running job too, and leave a future whose ``cancelled()`` is true: both then wait for the end of
  the future, and turn it into the caller's own ``CancelledError`` or ``TimeoutError``.
"""

from __future__ import annotations

import asyncio
import sys
import types
from asyncio import Future, InvalidStateError
from collections.abc import Awaitable, Callable, Container, Generator
from contextvars import Context
from types import CodeType
from typing import Any, Protocol, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import TaskOptions, task_name
from steadypool.model.states import NEVER_LOOKED_AT, Outcome
from steadypool.pools.core.shared import Args, Kwargs
from steadypool.primitives.gates import GatedCall
from steadypool.primitives.job_context import JobContext
from steadypool.primitives.unretrieved import Unretrieved

T = TypeVar("T")
_NOT_GIVEN = object()

_init = Future.__init__
_await = Future.__await__
_state_of: Any = Future._state.__get__  # type: ignore[attr-defined]
_set_result = Future.set_result
_set_exception = Future.set_exception
_cancel = Future.cancel
_WAIT_FOR = (
    {getattr(asyncio.tasks, name).__code__ for name in ("wait_for", "_cancel_and_wait")}
    if sys.version_info < (3, 12)
    else frozenset[CodeType]()
)


class Waits(Protocol):
    """What a future asks before it is waited for: see `primitives.future.Owner`."""

    def begin_wait(self, job: AsyncJob) -> object:
        """The calling code is about to wait for *job*."""

    def end_wait(self, waiting: object) -> None:
        """The wait is over."""

    def expect_wait(self) -> None:
        """The calling code will wait in a way that does not come by here."""


class Owner(Protocol):
    """What a future asks of the pool it belongs to."""

    name: str
    loop: asyncio.AbstractEventLoop

    @property
    def waits(self) -> Waits:
        """What to ask before a wait."""

    @property
    def running(self) -> Container[AsyncJob]:
        """The jobs of which an attempt runs."""

    def attempt_of(self, job: AsyncJob) -> object:
        """What runs it."""

    def cancel(self, job: AsyncJob, running: bool, cause: str = "cancelled") -> bool:
        """Cancel it; see `AsyncJobFuture.cancel`."""

    def check_loop(self) -> None:
        """See that the pool's loop runs here, or raise `RuntimeError`."""


class AsyncJobFuture(Future[T]):
    """The future of one job of an `AsyncPool`: an `asyncio.Future` with the extras of `JobFuture`.

    Attributes:
        outcome: the `Outcome`, or ``None`` while the job has not ended.
        attempts: how many times it was started so far.
    """

    # Names with an underscore belong to Steadypool. What every job sets has a slot, and the rest a default in the
    # class: most jobs never need a ``__dict__``, which costs as much as the future itself.
    __slots__ = (
        "_args",
        "_began",
        "_context",
        "_fn",
        "_kwargs",
        "_number",
        "_options",
        "_owner",
        "_submitted",
        "attempts",
        "outcome",
    )
    _waiters: list[Future[None]] | None = None
    _cancelled_by_asyncio = False
    _unseen: Unretrieved | None = None
    _has_room = True
    _gated: GatedCall | None = None
    _total_ends: float | None = None
    _told: str | None = None
    _stop_event: None = None
    _pending_error: BaseException | None = None
    _last_error: BaseException | None = None
    _error: BaseException | None = None
    """What the job ended with; asyncio's own ``_exception`` is ``None`` where ``cancelled()`` is true."""
    _entry: Any = None
    _alarm: Any = None
    _deferred_events: Any = None
    _pristine_context: Context | None = None
    _progress: tuple[float, float | None] | None = None
    _job_context: JobContext | None = None
    """If it has left a note."""
    # What follows from something else is not stored, and what the common core writes there has no effect.
    _worker = property(lambda self: self._owner.attempt_of(self))
    _attempt_ends = property(lambda self: _attempt_ends_of(self), lambda self, ends: None)
    # The common core writes the standard future's ``_state`` when it puts a job back; asyncio's future keeps its own.
    _state = property(lambda self: _state_of(self), lambda self, state: None)

    def __init__(
        self,
        owner: Owner,
        options: TaskOptions,
        fn: Callable[..., Awaitable[T]],
        args: Args,
        kwargs: Kwargs,
        context: Context,
        submitted: float,
        number: int,
    ) -> None:
        _init(self, loop=owner.loop)
        self._owner = owner
        self._options = options
        self._fn: Any = fn
        self._args: Any = args
        self._kwargs: Any = kwargs
        self._context: Any = context
        self._submitted = submitted
        self._number = number
        self._began = submitted
        self.attempts = 0
        self.outcome: Outcome | None = None

    # -- what the caller sees

    @property
    def job_id(self) -> str:
        """The job's id: the ``id`` option, or the pool's name and a number."""
        return self._options.id or f"{self._owner.name}-{self._number + 1}"

    def result(self) -> T:
        """Return the job's result.

        Raises:
            InvalidStateError: the job has not ended.
            JobTimeout, JobCancelled, JobExit: as the outcome says.
            Exception: what the job raised.
        """
        if self._unseen is not None:
            self._unseen.seen = True
        error = self._error
        if error is None:
            return super().result()
        if self._cancelled_by_asyncio and sys._getframe(1).f_code in _WAIT_FOR:
            return super().result()
        try:
            raise error
        finally:
            # Or the traceback would hold this frame, and the frame the future.
            del self, error

    def exception(self) -> BaseException | None:
        """Return what the job raised, or ``None``.

        Raises:
            InvalidStateError: the job has not ended.
            JobCancelled: it was cancelled before it started.
        """
        if self._unseen is not None:
            self._unseen.seen = True
        error = self._error
        if error is None:
            return super().exception()
        if self.cancelled():
            raise error
        return error

    def cancel(self, msg: object = _NOT_GIVEN, *, running: bool = False, cause: str = "cancelled") -> bool:
        """Cancel the job if it has not started; with *running*, also ask a started one to stop.

        A running job gets asyncio's ``CancelledError`` and has the pool's ``cancel_grace`` to end. What it returns in
        that time still counts; otherwise the future gives `JobCancelled`. *msg* is for asyncio, which passes it
        when it cancels what a cancelled task awaits: that means a running job too. *cause* is what the job sees.

        Returns:
            Whether the job was cancelled (or, with *running*, asked to stop).
        """
        if self.done():
            return False
        if not running and (msg is not _NOT_GIVEN or _called_by_asyncio()):
            self._cancelled_by_asyncio = running = True
        return self._owner.cancel(self, running, cause)

    def running(self) -> bool:
        """Whether an attempt is running now."""
        return self in self._owner.running

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        """As `asyncio.Future.add_done_callback`.

        A job of the same pool that does this is about to wait for this one (`asyncio.gather`, `asyncio.wait`): its
        place is lent to another until it ends, so that a full pool cannot wait for itself.
        """
        if not self.done():
            self._owner.waits.expect_wait()
        super().add_done_callback(fn, context=context)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result, on the pool's loop. Being cancelled meanwhile cancels the job."""
        return _await(self) if self.outcome is Outcome.SUCCEEDED else self._wait_for_result()

    __iter__ = __await__

    def __repr__(self) -> str:
        how = self.outcome.value if self.outcome is not None else ("running" if self.running() else "pending")
        name = "" if self._fn is None else f" {self._task_name}"
        return f"<{type(self).__name__} {self.job_id}{name} {how}>"

    @property
    def _task_name(self) -> str:
        return self._options.name or ("?" if self._fn is None else task_name(self._fn))

    # -- waiting

    @types.coroutine
    def wait_for_end(self) -> Generator[Future[None], None, None]:
        """Wait until the job has ended, however it did. Being cancelled meanwhile cancels the job."""
        if not self.done():
            yield from self._wait()

    def _wait_for_result(self) -> Generator[Any, None, T]:
        if not self.done():
            yield from self._wait()
        return self.result()

    def _wait(self) -> Generator[Future[None], None, None]:
        owner = self._owner
        owner.check_loop()
        waiter: Future[None] = owner.loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        waiting = owner.waits.begin_wait(self)
        try:
            yield from waiter
        except asyncio.CancelledError:
            if not self.done():
                self._owner.cancel(self, True)
            raise
        finally:
            owner.waits.end_wait(waiting)
            if waiter in (waiters := self._waiters or []):
                waiters.remove(waiter)

    # -- settling

    def _settle(self, outcome: Outcome, result: T | None, error: BaseException | None, *, started: bool = True) -> None:
        """Record the end and wake the waiters. Only for the code that has taken the job out of its place."""
        if outcome in NEVER_LOOKED_AT and error is not None:
            self._unseen = Unretrieved(self.job_id, self._task_name, error)
        self._fn = self._args = self._kwargs = self._context = self._pristine_context = None
        self._last_error = self._pending_error = None
        self._error = error
        self.outcome = outcome
        if error is None:
            _set_result(self, result)  # type: ignore[misc]
        elif not started or (self._cancelled_by_asyncio and outcome is Outcome.CANCELLED):
            _cancel(self)
        else:
            self._set_error(error)
        if self._waiters is not None:
            self._wake_waiters()

    def _set_error(self, error: BaseException) -> None:
        # asyncio refuses a StopIteration; it can only be raised by what a sync callable of the user's returns.
        _set_exception(
            self, RuntimeError("the job raised StopIteration") if isinstance(error, StopIteration) else error
        )
        # `Unretrieved` reports a failure that was never retrieved, in the same words for all pools.
        self._log_traceback = False

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _run_callbacks(self) -> None:
        """Nothing to do: asyncio's futures call back on their own."""

    def _look(self) -> None:
        """The program has seen the failure: it need not be reported when the future is freed."""
        if self._unseen is not None:
            self._unseen.seen = True

    def set_result(self, result: T) -> None:
        """Not for callers: the pool settles its own jobs."""
        raise InvalidStateError("an AsyncJobFuture is settled by its pool alone")

    def set_exception(self, exception: type[BaseException] | BaseException) -> None:
        """Not for callers: the pool settles its own jobs."""
        raise InvalidStateError("an AsyncJobFuture is settled by its pool alone")

    # -- for the pool

    def _waited(self) -> float:
        return monotonic() - self._submitted

    def _tell(self, cause: str) -> None:
        """Note why the running attempt is to stop. The first cause stays."""
        if self._told is None:
            self._told = cause


AsyncJob = AsyncJobFuture[Any]
"""A job whose result is not looked at here."""


def _attempt_ends_of(job: AsyncJob) -> float | None:
    seconds = job._options.timeout
    return None if seconds is None or not job.running() else job._began + seconds


def _called_by_asyncio() -> bool:
    """Whether ``cancel()`` was called by `asyncio.wait_for` of Python 3.11, which then waits for the future's end."""
    return sys._getframe(2).f_code in _WAIT_FOR
