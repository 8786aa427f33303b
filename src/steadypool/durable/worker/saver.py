"""What a job saves, where the job runs: `current_job().save(state)`. What becomes of it: `durable.engine.notes`.

A state is handed to the worker as a note of the job's (`JobContext._leave_note`), which is memory of the worker's own
or a frame from a process. A flush writes it from where the job runs, so that it waits for no round of the worker's.

When the worker drains it leaves a mark, a file in its folder, for jobs in processes as well as on threads. The first
save that finds it ends the job: unlike a cancel, the mark disturbs no job that does not save.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from steadypool.durable.client.checkpoint import StateType
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.notes import Note
from steadypool.durable.worker.job_links import queue_of_job
from steadypool.durable.worker.run_job import Performed
from steadypool.model.errors import JobCancelled, JobInterrupted, SteadypoolError
from steadypool.primitives.job_context import current_job, job_saver

HANDED_OVER = -1.0
"""For how long a job is not to run that was interrupted where it saved: it may go on at once."""
INTERRUPTED: Performed = None, HANDED_OVER
_COUNT = 8
"""Bytes of a note before the state: how many saves the run has made."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run of a job that saves begins with. It travels to where the job runs."""

    states: StateType
    number: int
    token: int
    lease: int
    state: bytes | None
    """What the last run has saved."""
    mark: str | None
    """The file that is there once the worker drains; ``None``: it never does."""
    interrupt_at: int | None = None
    """The save at which it is interrupted in any case, counted from 1."""

    def note_of(self, left: bytes) -> Note:
        """The note, as the job has left it."""
        count, state = int.from_bytes(left[:_COUNT], "big"), left[_COUNT:]
        return Note(self.number, self.token, self.lease, count, state)


class Saver:
    """For one run: a ``with`` block around it, which ends early where the run is interrupted.

    Raises:
        CheckpointRefused: what the last run has saved is of another type.
    """

    def __init__(self, beginning: Beginning) -> None:
        self._beginning = beginning
        self._job = current_job()
        self._saves = 0
        self._left = b""
        state = beginning.state
        self.checkpoint = None if state is None else beginning.states.decode(state)

    def __enter__(self) -> None:
        self._before = job_saver.set(self)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        job_saver.reset(self._before)
        return error is not None and _is_interruption(error)

    def save(self, state: Any) -> None:
        """See `JobSaver.save`."""
        encoded = self._beginning.states.encode(state)
        self._saves += 1
        self._left = left = self._saves.to_bytes(_COUNT, "big") + encoded
        self._job._leave_note(left)

    def flush(self) -> None:
        """See `JobSaver.flush`."""
        self._write(self._queue(), self._left)

    async def flush_async(self) -> None:
        """See `JobSaver.flush_async`."""
        from steadypool.durable.client.task_waiter import look  # for those who use asyncio

        queue = self._queue()
        await look(queue.ends, self._write, queue, self._left)

    def _queue(self) -> Queue:
        queue = queue_of_job()
        if queue is None:
            raise SteadypoolError(f"job {self._job.id} does not know its queue here")
        return queue

    def _write(self, queue: Queue, left: bytes) -> None:
        if queue.engine.notes.save([self._beginning.note_of(left)]):
            raise JobCancelled(
                f"job {self._job.id} cannot save: its lease was lost, and another worker may run it",
                job_id=self._job.id,
                cause="lease_lost",
            )

    def go_on(self) -> None:
        """See `JobSaver.go_on`."""
        job, beginning = self._job, self._beginning
        cause = job.cause
        if cause is not None and cause != "shutdown":
            job.raise_if_cancelled()
        mark = beginning.mark
        if cause or self._saves == beginning.interrupt_at or (mark is not None and os.path.exists(mark)):
            raise JobInterrupted(f"the worker of job {job.id} drains; the job goes on in another worker")


def run_from(beginning: Beginning, fn: Callable[..., Performed], *args: Any) -> Performed:
    """Run a job that saves, on a thread or in a process."""
    with Saver(beginning):
        return fn(*args)
    return INTERRUPTED


async def run_from_async(beginning: Beginning, fn: Callable[..., Awaitable[Performed]], *args: Any) -> Performed:
    """The same on the running loop."""
    with Saver(beginning):
        return await fn(*args)
    return INTERRUPTED


def _is_interruption(error: BaseException) -> bool:
    """A task of an `asyncio.TaskGroup` may have saved: then it is in a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(JobInterrupted)[1] is None
    return isinstance(error, JobInterrupted)
