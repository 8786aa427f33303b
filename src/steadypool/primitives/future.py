"""One job and its future, in one object.

Theory of operation
-------------------
`concurrent.futures.Future` builds a ``Condition`` for each job, which costs more than all the rest of a submit.
Here everything that only a waiter needs is made by the first waiter, and found by the thread that settles:

* **Settling** is done once, by the thread that took the job out of its place (see `primitives.job_queue`). It writes
  the result, then ``outcome``, then ``_state``, and only then looks for waiters. A **waiter** leaves its lock or
  callback first and then looks at ``_state``. So one of them always sees the other. A callback is run by
  the thread that takes it out of the list, which is one atomic step: never twice, never not at all.
* **The standard library's own waiters** (`concurrent.futures.wait`, `as_completed`) hold ``_condition`` while
  they read ``_state`` and add themselves to ``_waiters``; if they read "pending" the settler must notify them,
  and if they read "finished" it must not. So once a condition exists, ``_state`` changes under it. The one race left
  is a condition made between the settler's look for one and its write to ``_state``; the maker sees ``outcome`` set
  by then and waits for the write before it hands the condition out.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from contextvars import Context
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import Task, TaskOptions, task_name
from steadypool.model.states import NEVER_LOOKED_AT, Outcome
from steadypool.primitives.unretrieved import Unretrieved
from steadypool.primitives.wakeup import Waker

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
DONE = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})
Callback = Callable[["JobFuture[Any]"], object]
NAMED_BY_PYTHON = frozenset({FunctionType, BuiltinFunctionType, MethodType, type})
"""Whose names are found without any code of the user's."""


class Owner(Protocol):
    """What a future asks of the pool it belongs to."""

    name: str

    def cancel(self, job: JobFuture[Any], running: bool, cause: str = "cancelled") -> bool:
        """Cancel the job; see `JobFuture.cancel`."""

    def has_begun(self, job: JobFuture[Any]) -> bool:
        """Whether an attempt that was given to a worker has begun, so that it cannot be taken back."""

    def begin_wait(self, job: JobFuture[Any]) -> object:
        """The calling thread is about to wait for *job*. The answer goes to `end_wait`.

        Raises:
            WouldDeadlock: if that wait could never end.
            PoolClosed: in a forked child, where no worker exists that could ever finish the job.
        """

    def end_wait(self, waiting: object) -> None:
        """The wait is over."""

    def expect_wait(self) -> None:
        """The calling thread will wait in a way that does not come by here: count it as waiting from now on."""


class JobFuture(Future[T], Generic[T]):
    """The future of one job: a `concurrent.futures.Future` that can also be awaited.

    Attributes:
        outcome: the `Outcome`, or ``None`` while the job has not ended.
        attempts: how many times it was started so far.
    """

    # Names with an underscore belong to Steadypool's own modules. Defaults live in the class: a job that needs no
    # more than them pays for no more.
    outcome: Outcome | None = None
    attempts: int = 0
    _state: str = PENDING
    _result: Any = None
    _exception: BaseException | None = None
    _made_condition: threading.Condition | None = None
    _sleepers: list[Waker] | None = None
    _callbacks: list[Callback] | None = None
    _unseen: Unretrieved | None = None
    _has_room = True
    _size = 1  # calls in it; a chunk, which may stand in its place, has several
    _worker: Any = None
    _began = 0.0
    """When the present attempt began; seconds of `time.monotonic`."""
    _attempt_ends: float | None = None
    _total_ends: float | None = None
    _told: str | None = None
    """Why the present attempt was asked to stop."""
    _stop_event: threading.Event | None = None
    _pending_error: BaseException | None = None
    """What the attempt that was asked to stop counts as, if it does not return."""
    _last_error: BaseException | None = None
    _entry: Any = None
    """The retry it waits for, on the timers."""
    _alarm: Any = None  # its total time limit, likewise
    _deferred_events: Any = None
    _packed: Any = None  # what travels to a worker process
    _packed_meta: bytes | None = None
    _serial = 0
    """Stands for the latest sending to a worker process."""
    _pristine_context: Any = None
    """The submitter's context, while attempts run in copies of it."""
    _job_context: Any = None
    _progress: tuple[float, float | None] | None = None
    _gated: Any = None
    """What its limits and its lane say of it (`gates.GatedCall`)."""
    _own_name: str | None = None
    """What the function says it is called, if that is no plain function."""

    def __init__(
        self,
        owner: Owner,
        options: TaskOptions,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: Context | None,
        submitted: float,
        number: int,
    ) -> None:
        # Not calling Future.__init__ is the point: it would make the Condition.
        self._owner = owner
        self._options = options
        self._fn: Any = fn
        self._args: Any = args
        self._kwargs: Any = kwargs
        self._context = context
        self._submitted = submitted
        self._number = number
        if type(fn) not in NAMED_BY_PYTHON and not (type(fn) is Task and type(fn.fn) in NAMED_BY_PYTHON):
            self._own_name = task_name(fn)  # now, on the caller's thread: it may be code of the user's

    # -- what the caller sees

    @property
    def job_id(self) -> str:
        """The job's id: the ``id`` option, or the pool's name and a number."""
        return self._options.id or f"{self._owner.name}-{self._number + 1}"

    def result(self, timeout: float | None = None) -> T:
        """Return the job's result, waiting up to *timeout* seconds for it (``None``: without limit).

        Raises:
            TimeoutError: the job had not ended by then; it goes on.
            JobTimeout, JobCancelled, JobExit, WorkerCrashed: as the outcome says.
            Exception: what the job raised.
        """
        if self._state is FINISHED and self._exception is None:
            return self._result  # type: ignore[no-any-return]
        self._wait(timeout)
        self._look()
        try:
            if self._exception is not None:
                raise self._exception
            return self._result  # type: ignore[no-any-return]
        finally:
            # Or the traceback would hold this frame, and the frame the future.
            self = None  # type: ignore[assignment]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the job raised, or ``None``, waiting up to *timeout* seconds.

        Raises:
            TimeoutError: the job had not ended by then.
            JobCancelled: it was cancelled before it started.
        """
        self._wait(timeout)
        self._look()
        if self._state is CANCELLED_AND_NOTIFIED and self._exception is not None:
            try:
                raise self._exception
            finally:
                self = None  # type: ignore[assignment]
        return self._exception

    def cancel(self, *, running: bool = False, cause: str = "cancelled") -> bool:
        """Cancel the job if it has not started; with *running*, also ask a started one to stop.

        A running job learns of it from `current_job`, and has the pool's ``cancel_grace`` to end. What it
        returns in that time still counts; after it the future gives `JobCancelled`. *cause* is what the job sees
        (`JobContext.cause`).

        Returns:
            Whether the job was cancelled (or, with *running*, asked to stop).
        """
        if self._state in DONE:
            return self.cancelled()
        return self._owner.cancel(self, running, cause)

    def cancelled(self) -> bool:
        """Whether the job ended without having started."""
        return self._state is CANCELLED_AND_NOTIFIED

    def running(self) -> bool:
        """Whether an attempt is running now."""
        return self._state is RUNNING and self._owner.has_begun(self)

    def done(self) -> bool:
        """Whether the job has its outcome."""
        return self._state in DONE

    def add_done_callback(self, fn: Callback) -> None:
        """Call *fn* with this future once the job has ended; at once if it has.

        It runs on the thread that ends the job. What it raises is logged, as the standard library does.
        """
        if getattr(fn, "__module__", None) == "asyncio.futures":
            # `asyncio.wrap_future`'s own callback only tells its loop: no need to hand it to the thread that runs
            # callbacks which may take their time.
            self._wake_when_done(CallbackWaker(self, fn))
            return
        self.__dict__.setdefault("_callbacks", [])
        callbacks = self._callbacks
        assert callbacks is not None
        callbacks.append(fn)
        if self._state in DONE:
            self._run_callbacks()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result on the running loop, whichever that is. Giving up the wait leaves the job alone."""
        if self._state not in DONE:
            yield from self._wait_on_loop()
        return self.result()

    def __repr__(self) -> str:
        how = self.outcome.value if self.outcome is not None else self._state.lower()
        name = "" if self._fn is None else f" {self._task_name}"
        return f"<{type(self).__name__} {self.job_id}{name} {how}>"

    @property
    def _task_name(self) -> str:
        return self._options.name or ("?" if self._fn is None else self._own_name or task_name(self._fn))

    # -- waiting

    def _wait(self, timeout: float | None) -> None:
        """Return once the job has ended, or raise `TimeoutError`."""
        if self._state in DONE:
            return
        waiting = self._owner.begin_wait(self)
        try:
            if not self._sleep(timeout):
                raise TimeoutError(f"job {self.job_id} has not ended within {timeout} seconds; it goes on")
        finally:
            self._owner.end_wait(waiting)

    def _sleep(self, timeout: float | None) -> bool:
        sleeper = _thread.allocate_lock()
        sleeper.acquire()
        self._wake_when_done(sleeper)
        seconds = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        if sleeper.acquire(timeout=seconds):
            return True
        self._forget_waker(sleeper)
        return self._state in DONE

    def _wake_when_done(self, waker: Waker) -> None:
        """Have *waker* released once the job has ended; at once if it has."""
        self.__dict__.setdefault("_sleepers", [])
        sleepers = self._sleepers
        assert sleepers is not None
        sleepers.append(waker)
        if self._state in DONE:
            self._wake_sleepers()

    def _forget_waker(self, waker: Waker) -> None:
        try:
            if self._sleepers is not None:
                self._sleepers.remove(waker)
        except ValueError:
            return  # taken to be released meanwhile

    def _wait_on_loop(self) -> Generator[Any, None, None]:
        loop = running_loop(f"job {self.job_id} is awaited")
        self._owner.expect_wait()
        waker = LoopWaker(loop)
        self._wake_when_done(waker)
        try:
            yield from waker.woken
        finally:
            self._forget_waker(waker)

    # -- settling

    def _settle(self, outcome: Outcome, result: Any, error: BaseException | None, *, started: bool = True) -> None:
        """Record the end and wake the waiters; callbacks are left to `_run_callbacks`.

        Only for the thread that has taken the job out of its place.
        """
        self._result = result
        self._exception = error
        if error is not None and outcome in NEVER_LOOKED_AT:
            self._unseen = Unretrieved(self.job_id, self._task_name, error)
        # As in the standard library, a future that is kept does not keep what the job was made of.
        self._fn = self._args = self._kwargs = self._context = self._pristine_context = None
        self._last_error = self._pending_error = self._packed = None
        self.outcome = outcome
        self._publish(FINISHED if started else CANCELLED_AND_NOTIFIED)

    def _publish(self, state: str) -> None:
        condition = self._made_condition
        if condition is None:
            self._state = state
        else:
            self._publish_under(condition, state)
        if self._sleepers is not None:
            self._wake_sleepers()

    def _publish_under(self, condition: threading.Condition, state: str) -> None:
        with condition:
            self._state = state
            for waiter in self._waiters:
                if state is CANCELLED_AND_NOTIFIED:
                    waiter.add_cancelled(self)
                elif self._exception is not None:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            condition.notify_all()

    def _wake_sleepers(self) -> None:
        sleepers = self._sleepers
        assert sleepers is not None
        while sleepers:
            try:
                sleeper = sleepers.pop()
            except IndexError:
                return  # timed out and took itself away
            sleeper.release()

    def _run_callbacks(self) -> None:
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:
                return  # another thread has taken the last one
            try:
                callback(self)
            except BaseException as error:
                # Also what is no Exception: it must not end a worker. Ctrl-C stays Ctrl-C.
                if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                    raise
                logging.getLogger("concurrent.futures").exception("exception calling callback for %r", self)

    def _look(self) -> None:
        """The program has seen the failure: it need not be reported when the future is freed."""
        if self._unseen is not None:
            self._unseen.seen = True

    # -- the standard library's waiters

    if not TYPE_CHECKING:  # a type checker knows these two by the base class, as attributes

        @property
        def _condition(self):
            return self._condition_for_waiters()

        @property
        def _waiters(self):
            return self.__dict__.setdefault("_standard_waiters", [])

    def _condition_for_waiters(self) -> threading.Condition:
        condition = self._made_condition
        if condition is not None and condition._is_owned():  # type: ignore[attr-defined]
            # The standard library asks again to release it. The settler may be waiting for just that.
            return condition
        if self._state not in DONE:
            self._owner.expect_wait()
        if condition is None:
            condition = self.__dict__.setdefault("_made_condition", threading.Condition())
        if self.outcome is not None and self._state not in DONE:
            self._sleep(None)  # the settler is between the two writes: see the top of this file
        return condition

    def set_running_or_notify_cancel(self) -> bool:
        """Not for callers: the pool moves its own jobs."""
        raise InvalidStateError("a JobFuture is settled by its pool alone")

    def set_result(self, result: T) -> None:
        """Not for callers: the pool settles its own jobs."""
        raise InvalidStateError("a JobFuture is settled by its pool alone")

    def set_exception(self, exception: BaseException | None) -> None:
        """Not for callers: the pool settles its own jobs."""
        raise InvalidStateError("a JobFuture is settled by its pool alone")

    # -- for the pools

    @property
    def _error(self) -> BaseException | None:
        return self._exception

    def _waited(self) -> float:
        return monotonic() - self._submitted

    def _tell(self, cause: str) -> None:
        """Tell the running attempt to stop. The first cause stays. The caller holds the pool's lock."""
        if self._told is None:
            self._told = cause
        event = self._stop_event
        if event is not None:
            event.set()


def running_loop(what: str) -> asyncio.AbstractEventLoop:
    """The loop of this thread, on which something is awaited.

    Raises:
        RuntimeError: it is none of asyncio's: under trio, say.
    """
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{what} where no event loop of asyncio runs. With trio, wait in a thread: "
            "await trio.to_thread.run_sync(future.result)"
        ) from None


class CallbackWaker:
    """Calls a callback that is known to be quick."""

    __slots__ = ("_callback", "_future")

    def __init__(self, future: JobFuture[Any], callback: Callback) -> None:
        self._future = future
        self._callback = callback

    def release(self) -> None:
        """Call it. What it raises is logged, as for any other callback."""
        try:
            self._callback(self._future)
        except Exception:
            logging.getLogger("concurrent.futures").exception("exception calling callback for %r", self._future)


class LoopWaker:
    """Wakes a coroutine on its own loop, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.woken: asyncio.Future[None] = loop.create_future()

    def release(self) -> None:
        """Wake it."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop was closed with the waiting task: no task is left to be notified.
            if not self._loop.is_closed():
                raise

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


SHARED_NAMES = (
    *("_owner", "_options", "_fn", "_args", "_kwargs", "_context", "_submitted", "_number"),
    *("_worker", "attempts", "_state", "_began", "_result", "outcome", "_sleepers", "_callbacks"),
    *("_exception", "_unseen", "_made_condition", "_standard_waiters", "_told", "_alarm", "_entry", "_attempt_ends"),
    *("_last_error", "_pending_error", "_packed", "_serial", "_pristine_context", "_job_context"),
)
"""Attributes that one thread sets while others may look, most important first.

CPython 3.11 keeps the first 30 names of a class's attributes for all its objects together. A name beyond those has a
dictionary made for the object, which may run the garbage collector, which may let another thread in: what that one sets
meanwhile is lost, and a job that has ended stays "pending" for ever. So these are the first 30, whatever names a
program gives to futures of its own.
"""


def _share_names() -> None:
    future: JobFuture[None] = JobFuture.__new__(JobFuture)
    for name in SHARED_NAMES:
        setattr(future, name, None)


_share_names()
