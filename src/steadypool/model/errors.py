"""What can go wrong, one class for each situation that a caller would treat differently.

    SteadypoolError
    ├── PoolClosed          (RuntimeError)      the pool takes no more jobs
    │   └── PoolBroken      (BrokenExecutor)    ... because its initializer failed
    ├── QueueFull                               no room for this job now
    ├── WouldDeadlock       (RuntimeError)      this wait could never end
    ├── JobTimeout          (TimeoutError)      the job's time limit passed
    ├── JobCancelled        (CancelledError)    the job was cancelled, returned or interrupted
    ├── Snooze                                  raised by a durable job: not now, but later
    ├── CheckpointRefused                       a state that a durable job cannot save, or begin with
    ├── JobExit                                 the job raised SystemExit or KeyboardInterrupt
    ├── RemoteError                             stands in for an exception that cannot be carried over, or raised
    ├── WorkerCrashed                           the worker process died under the job
    └── InternalError                           a fault of Steadypool itself: please report it
    JobInterrupted          (BaseException)     raised where a durable job saves: its worker drains

Facts are attributes, the message is for people. Every class can be pickled: the message is the only
positional argument, the facts travel in ``__dict__``.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from typing import TYPE_CHECKING

from steadypool.model.checks import as_seconds, check_seconds

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "CheckpointRefused",
    "InternalError",
    "JobCancelled",
    "JobExit",
    "JobInterrupted",
    "JobTimeout",
    "PoolBroken",
    "PoolClosed",
    "QueueFull",
    "RemoteError",
    "Snooze",
    "SteadypoolError",
    "WorkerCrashed",
    "WouldDeadlock",
]


class SteadypoolError(Exception):
    """The base class of every error that Steadypool itself raises."""


class PoolClosed(SteadypoolError, RuntimeError):
    """The pool is draining or closed and takes no more jobs."""


class PoolBroken(PoolClosed, BrokenExecutor):
    """The pool closed because its initializer failed; ``__cause__`` is what the initializer raised."""


class QueueFull(SteadypoolError):
    """The queue has no room for the job now."""


class WouldDeadlock(SteadypoolError, RuntimeError):
    """A job was about to wait for its own pool, or for its own durable queue, in a way that could never end."""


class JobTimeout(SteadypoolError, TimeoutError):
    """A time limit passed.

    Attributes:
        job_id: the job's id.
        seconds: the limit that passed.
        limit: which one, ``"timeout"`` (one attempt) or ``"total_timeout"`` (waiting included).
        stack: where the job was at that moment, as text; empty if it was not running.
    """

    def __init__(
        self, message: str = "", *, job_id: str = "", seconds: float = 0.0, limit: str = "timeout", stack: str = ""
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.seconds = seconds
        self.limit = limit
        self.stack = stack

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\nThe job was here:\n{self.stack.rstrip()}" if self.stack else message


class JobCancelled(SteadypoolError, CancelledError):
    """The job was cancelled.

    Attributes:
        job_id: the job's id.
        cause: ``"cancelled"`` (by a caller), ``"shutdown"`` (returned or interrupted by a drain) or ``"lease_lost"``
            (a durable job that its worker may not settle any more).
    """

    def __init__(self, message: str = "", *, job_id: str = "", cause: str = "cancelled") -> None:
        super().__init__(message)
        self.job_id = job_id
        self.cause = cause


class JobExit(SteadypoolError):
    """The job raised ``SystemExit`` or ``KeyboardInterrupt``: a failure of that job, and of nothing else.

    Attributes:
        code: the exit code it asked for; 130 for ``KeyboardInterrupt``, as a shell has it.
    """

    def __init__(self, message: str = "", *, code: object = None) -> None:
        super().__init__(message)
        self.code = code


class Snooze(SteadypoolError):
    """To be raised by a durable job that cannot be done now: it goes back for *seconds*, and spends no attempt.

    ``total_timeout`` goes on meanwhile. In a pool it is a failure as any other.

    Attributes:
        seconds: for how long.
    """

    def __init__(self, seconds: float | timedelta) -> None:
        super().__init__(seconds)
        checked = check_seconds("Snooze(seconds)", as_seconds(seconds), zero=True, none=False)
        assert checked is not None
        self.seconds = checked


class CheckpointRefused(SteadypoolError):
    """A state cannot be saved: it is of another type than its task declares, or too large. Or what the last run saved
    is none of the type that the task declares by now: then the attempt fails."""


class JobInterrupted(BaseException):
    """The worker drains: `JobContext.save` raises it once the state is kept, and the job goes on in another worker.

    Let it through, as ``except Exception`` does. No attempt is spent.
    """


class RemoteError(SteadypoolError):
    """Stands in for an exception that could not be carried from the worker process.

    Also for one that would mean something where it is raised: ``GeneratorExit``, ``StopIteration``, asyncio's
    ``CancelledError``, and groups with one of these in them. Its cause is the original, if that could be carried.

    Attributes:
        type_name: the qualified name of the original exception's type.
        text: the original message.
        traceback: the original traceback, as text.
    """

    def __init__(self, message: str = "", *, type_name: str = "", text: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback


class WorkerCrashed(SteadypoolError):
    """The worker process died while it ran this job. The pool itself goes on.

    Attributes:
        pid: the process that died.
        exitcode: its exit code; negative for a signal, ``None`` if it could not be learnt.
        signal_name: the signal that killed it, such as ``"SIGSEGV"``; ``None`` if none did.
        stack: the Python stack at the crash, if one could be taken.
        oom: whether the cgroup's out-of-memory counter moved; ``None`` if that is unknown.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int = 0,
        exitcode: int | None = None,
        signal_name: str | None = None,
        stack: str = "",
        oom: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.signal_name = signal_name
        self.stack = stack
        self.oom = oom


class InternalError(SteadypoolError):
    """Should be impossible: a fault of Steadypool itself. Please report it."""


_OURS = (SteadypoolError, JobInterrupted)
for _error in list(globals().values()):
    if isinstance(_error, type) and issubclass(_error, _OURS) and _error is not InternalError:
        _error.__module__ = "steadypool"  # what a user sees in a traceback is the name that they can import
