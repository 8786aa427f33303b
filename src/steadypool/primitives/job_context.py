"""What a running job can know about itself: `current_job()`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from steadypool.model.clock import monotonic, sleep
from steadypool.model.errors import JobCancelled, JobTimeout

if TYPE_CHECKING:
    from datetime import datetime
    from numbers import Real


SCHEDULE = "steadypool.schedule"
"""In ``meta``, of a job that a schedule has put: its name, its zone, and the tick."""


class JobContext:
    """One attempt of a job, seen from inside.

    Outside of any job it is inert, so that a task can be called as the plain function it is: ``id`` is empty,
    nothing is ever cancelled, there is no deadline, and it is false in an ``if``.

    Attributes:
        id: the job's id.
        task: the task's name.
        attempt: which attempt this is, from 1.
        deadline: when the attempt's time is up, by `time.monotonic`; ``None`` if it has no limit.
        meta: the task's ``meta`` option.
    """

    _note: bytes | None = None
    """What the attempt has left for its owner; where the owner is."""

    def __init__(
        self,
        id: str = "",
        task: str = "",
        attempt: int = 1,
        deadline: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.task = task
        self.attempt = attempt
        self.deadline = deadline
        self.meta: Mapping[str, Any] = meta or {}

    def __bool__(self) -> bool:
        return bool(self.id)

    @property
    def resources(self) -> Any:
        """What the ``lifespan`` of the job's durable queue has made; ``None`` if it has none."""
        return job_resources.get()

    @property
    def inputs(self) -> list[Any]:
        """Of a durable job that was put with ``after``: what it has waited for, in that order, each with ``id``,
        ``state``, ``result`` and ``errors``. It looks at the database each time."""
        return [] if not self or _links is None else _links.inputs(self)

    @property
    def batch(self) -> Any:
        """Of a durable job: the `Batch` of which it is a member, or which it follows; ``None`` if there is none. It
        looks at the database each time."""
        return None if not self or _links is None else _links.batch(self)

    @property
    def checkpoint(self) -> Any:
        """Of a durable job with a ``checkpoint``: what its last run saved, in that type; ``None`` in the first run."""
        saver = job_saver.get()
        return None if saver is None else saver.checkpoint

    def save(self, state: Any, *, flush: bool = False) -> None:
        """Keep *state* for the next run of a durable job, which begins with it as its `checkpoint`.

        It takes microseconds: the worker writes the latest state about once a second, and whenever the job comes back.
        When the worker drains, this raises, once the state is kept, and the job goes on in another worker at once.
        Outside of any job nothing happens.

        Args:
            state: of the type that the task is declared with, ``@queue.task(checkpoint=int)``.
            flush: wait until it is written.

        Raises:
            JobInterrupted: the worker drains. Let it through.
            JobTimeout, JobCancelled: as `raise_if_cancelled` does, with the state kept; and `JobCancelled` with
                *flush*, if the lease was lost, since another worker may run the job by now.
            CheckpointRefused: the state is of another type, or too large; it is not kept.
            EngineError: it could not be written, with *flush*.
            RuntimeError: the job has no checkpoint; or *flush* would block an event loop: use `save_async`.
        """
        saver = self._saver()
        if saver is None:
            return
        if flush and running_loop() is not None:
            raise RuntimeError(
                "save(flush=True) waits for the disk, and this thread runs an event loop: use "
                "await current_job().save_async(state)"
            )
        saver.save(state)
        if flush:
            saver.flush()
        saver.go_on()

    async def save_async(self, state: Any) -> None:
        """``save(state, flush=True)`` from asyncio: the loop goes on while it is written."""
        saver = self._saver()
        if saver is None:
            return
        saver.save(state)
        await saver.flush_async()
        saver.go_on()

    def _saver(self) -> JobSaver | None:
        saver = job_saver.get()
        if saver is None and self:
            raise RuntimeError(
                f"{self!r} has no checkpoint: save(...) is for jobs of a durable task that is declared with the type "
                "of its states, as in @queue.task(checkpoint=int)"
            )
        return saver

    def _leave_note(self, note: bytes) -> None:
        """Leave it for the owner of the job, instead of what was left before."""
        self._note = note

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} attempt {self.attempt}>" if self else "<no job>"

    @property
    def cause(self) -> str | None:
        """Why the job was asked to stop; ``None`` if it was not.

        ``"timeout"``, ``"cancelled"``, ``"shutdown"``; ``"lease_lost"`` for a job of a durable queue that another
        worker may run by now, so that nothing this one does will count.
        """
        return None

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self.cause is not None

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that has put the job; ``None`` if none has."""
        found = self.meta.get(SCHEDULE)
        return None if found is None else str(found["name"])

    @property
    def scheduled_for(self) -> datetime | None:
        """The tick of the schedule that the job is for, in the schedule's zone; ``None`` if no schedule has put it."""
        found = self.meta.get(SCHEDULE)
        if found is None:
            return None
        from datetime import UTC, datetime  # for those who use it
        from zoneinfo import ZoneInfo

        return datetime.fromtimestamp(found["at"], UTC if found["tz"] == "UTC" else ZoneInfo(found["tz"]))

    def remaining(self) -> float | None:
        """Seconds until the deadline, never below zero; ``None`` if there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())

    def raise_if_cancelled(self) -> None:
        """Do nothing, unless the job was asked to stop.

        Raises:
            JobTimeout: it was, by a time limit.
            JobCancelled: it was, by a caller or by a shutdown.
        """
        cause = self.cause
        if cause == "timeout":
            raise JobTimeout(f"job {self.id} has reached its time limit", job_id=self.id)
        if cause is not None:
            raise JobCancelled(f"job {self.id} was asked to stop ({cause})", job_id=self.id, cause=cause)

    def sleep(self, seconds: float) -> bool:
        """Sleep, but wake as soon as the job is asked to stop.

        Returns:
            True after the whole time, False if it was cut short.

        Raises:
            ValueError: *seconds* is negative.
        """
        if seconds < 0:
            raise ValueError(f"sleep(seconds) must be 0 or more seconds; got {seconds!r}")
        self._wait(min(seconds, threading.TIMEOUT_MAX))
        return not self.cancelled

    def progress(self, done: float, total: float | None = None) -> None:
        """Report how far the job is, for events and live views.

        Raises:
            TypeError: *done* is no number, or *total* neither a number nor ``None``.
        """
        check_progress(done, total)

    def _wait(self, seconds: float) -> None:
        """Wait for *seconds* or until asked to stop."""
        sleep(seconds)


def facts_of(job: Any) -> tuple[str, str, int, float | None, Mapping[str, Any] | None]:
    """What a `JobContext` of this process is made with, of the present attempt of *job*."""
    ends = [moment for moment in (job._attempt_ends, job._total_ends) if moment is not None]
    options = job._options
    return job.job_id, job._task_name, job.attempts + options.earlier_attempts, min(ends, default=None), options.meta


def check_progress(done: object, total: object) -> tuple[float, float | None]:
    """The two as plain numbers, or `TypeError`. A total without an end is none."""
    if not _is_number(done) or not (total is None or _is_real(total)):
        raise TypeError(f"progress(done, total) takes numbers, such as progress(3, 100); got {done!r} and {total!r}")
    return _plain(done), _plain(total) if _is_number(total) else None


def _is_number(value: object) -> TypeGuard[Real]:
    return _is_real(value) and isfinite(value)


def _is_real(value: object) -> TypeGuard[Real]:
    if type(value) is int or type(value) is float:
        return True
    from numbers import Real

    return isinstance(value, Real)


def _plain(value: Any) -> float:
    return value if type(value) in (int, float) else float(value)


_here = threading.local()


class RunningTask(Protocol):
    """What asyncio's pool leaves in the context of each job."""

    def context_on(self, loop: object) -> JobContext | None:
        """The job's context, if code that runs on *loop* now belongs to the job."""


running_task: ContextVar[RunningTask | None] = ContextVar("steadypool_job", default=None)
"""Set by asyncio's pool; inherited by the tasks that a job starts."""

job_resources: ContextVar[Any] = ContextVar("steadypool_resources", default=None)
"""Set by a durable queue's worker in the context of each job, if there are any."""


class JobSaver(Protocol):
    """Keeps what a durable job saves."""

    @property
    def checkpoint(self) -> Any:
        """See `JobContext.checkpoint`."""

    def save(self, state: Any) -> None:
        """Hand it to the worker."""

    def flush(self) -> None:
        """Write it, and wait for that."""

    async def flush_async(self) -> None:
        """The same from asyncio."""

    def go_on(self) -> None:
        """Raise, if the job is to stop here."""


job_saver: ContextVar[JobSaver | None] = ContextVar("steadypool_saver", default=None)
"""Set by a durable queue's worker in the context of each job that has a checkpoint."""


class JobLinks(Protocol):
    """What durable jobs can ask their queue about themselves."""

    def inputs(self, job: JobContext) -> list[Any]:
        """See `JobContext.inputs`."""

    def batch(self, job: JobContext) -> Any:
        """See `JobContext.batch`."""


_links: JobLinks | None = None


def give_links(links: JobLinks) -> None:
    """Have jobs of this process ask *links*."""
    global _links
    _links = links


_NO_JOB = JobContext()


def current_job() -> JobContext:
    """The job that the calling code runs in; outside of one, an inert `JobContext`."""
    in_task = running_task.get()
    if in_task is not None:
        # A context that was copied to another thread, such as `asyncio.to_thread` does, is not the job itself.
        context = in_task.context_on(running_loop())
        if context is not None:
            return context
    find: Callable[[], JobContext | None] | None = getattr(_here, "find", None)
    return (find() if find is not None else None) or _NO_JOB


def set_finder(find: Callable[[], JobContext | None] | None) -> Callable[[], JobContext | None] | None:
    """Make *find* say which job the calling thread runs; returns what said so before."""
    before = getattr(_here, "find", None)
    _here.find = find
    return before


def running_loop() -> object:
    """The event loop that the calling thread runs; ``None`` if none."""
    # Not imported for those who do not use it; the name is there once a caller does.
    asyncio = sys.modules.get("asyncio.events")
    return asyncio._get_running_loop() if asyncio is not None else None
