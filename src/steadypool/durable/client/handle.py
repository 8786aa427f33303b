"""`JobHandle`: a durable job, seen from outside. Every look is a fresh one at the database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from typing import Any, Generic, TypeVar

import msgspec

from steadypool.durable.client.home import Home, ResultDecoder, unknown
from steadypool.durable.client.nested_waits import LOOK_EVERY, Watch, refuse_on_loop
from steadypool.durable.engine.errors import JobDiscarded
from steadypool.durable.engine.records import AttemptError, EnqueueResult, JobRecord
from steadypool.durable.engine.states import ENDED, WAITING, JobState
from steadypool.durable.engine.why_idle import is_served
from steadypool.model.clock import monotonic
from steadypool.model.errors import JobCancelled
from steadypool.model.states import Outcome

R = TypeVar("R")
LONGEST_WAIT = 3600.0
"""Seconds after which a waiter looks for itself, however it hears of ends."""
_BY_ERROR = {"timed_out": Outcome.TIMED_OUT, "crashed": Outcome.CRASHED, "lost": Outcome.CRASHED}


class JobHandle(Generic[R]):
    """One job. It costs nothing to make and to keep.

    Attributes:
        job_id: the job's id; also as ``id``, as its options and its record have it.
        enqueued: whether the call that gave this handle has put the job. False: its id or unique key was taken, and
            this is the job that has it.
    """

    __slots__ = ("_home", "_key", "_task", "enqueued", "job_id")

    def __init__(self, home: Home, placed: EnqueueResult, task: ResultDecoder | None = None) -> None:
        self._home = home
        self._task = task
        self._key = (placed.number, placed.nonce)
        self.job_id = placed.id
        self.enqueued = placed.enqueued

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job_id

    def record(self) -> JobRecord:
        """Everything that is known of the job now.

        Raises:
            UnknownJob: its record was pruned, the transaction that put it has not been committed, or the store has
                gone back to a time before it: another job that has been given its id since is not taken for it.
        """
        found = self._home.record(self.job_id)
        if (found.number, found.nonce) != self._key:
            raise unknown(self.job_id)
        return found

    @property
    def state(self) -> JobState:
        """Where the job is now."""
        return self.record().state

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; ``None`` while it has not."""
        return outcome_of(self.record())

    @property
    def attempts(self) -> int:
        """How many attempts were begun, the present one included."""
        return self.record().attempt

    @property
    def errors(self) -> tuple[AttemptError, ...]:
        """Why each failed attempt failed, in order."""
        return self.record().errors

    @property
    def checkpoint(self) -> Any:
        """What the job has saved for its next run, as far as it is written; ``None``: nothing, or the job has ended.

        Raises:
            CheckpointRefused: it is none of the type that the task declares here.
            UnknownJob: as `record` does.
        """
        found = self.record()
        if found.checkpoint is None:
            return None
        task = self._task_of(found)
        return msgspec.json.decode(found.checkpoint) if task is None else task.decode_checkpoint(found.checkpoint)

    def result(self, timeout: float | None = None) -> R:
        """Wait for the end and return the result, *timeout* seconds at most (``None``: without limit).

        It is what the task returned, in value and type. Where the queue has no such task, as in a program that looks
        at it by its address alone, it is as JSON has it.

        Raises:
            TimeoutError: the job had not ended by then; it goes on.
            JobDiscarded: it failed for good; the message has the last attempt's error.
            JobCancelled: it was cancelled.
            UnknownJob: its record was pruned.
            WouldDeadlock: in a job of a worker of the same queue, all of whose slots wait for such jobs.
            RuntimeError: on the event loop of all jobs of a worker, which it would hold up; unless *timeout* is 0.
        """
        return self._decoded(self.record_at_end(timeout))

    async def result_async(self, timeout: float | None = None) -> R:
        """The same from asyncio: the loop goes on meanwhile, and no thread is held for it, however many wait.

        Raises:
            TimeoutError, JobDiscarded, JobCancelled, UnknownJob, WouldDeadlock: as `result` does.
        """
        found = await self._wait_async(timeout)
        self._raise_unless_completed(found)
        return self._decoded(found)

    def record_at_end(self, timeout: float | None = None) -> JobRecord:
        """The same, but the whole record, the result as JSON."""
        found = self._wait(timeout)
        self._raise_unless_completed(found)
        return found

    def cancel(self) -> bool:
        """Cancel it: at once if it waits, within two seconds if it runs; false if it has ended."""
        found = self._home.engine.cancel(*self._key)
        if found is None:
            raise unknown(self.job_id)
        return found not in ENDED

    def __repr__(self) -> str:
        return f"<durable job {self.job_id}>"

    def _wait(self, timeout: float | None) -> JobRecord:
        if timeout != 0:
            # Before the first look: whether it is refused must not depend on which of the two jobs is faster.
            refuse_on_loop()
        nested = Watch.here(self._home.url, self._home.engine)
        looks = self._looks(_until(timeout), timeout, nested)
        with self._home.ends.of(self._key) as waiter, nested or nullcontext():
            while True:
                # First the waiter, then the look: an end between the two wakes it.
                found, pause = next(looks)
                if pause is None:
                    return found
                waiter.wait(pause)

    async def _wait_async(self, timeout: float | None) -> JobRecord:
        from steadypool.durable.client.task_waiter import TaskWaiter, look  # for those who use asyncio

        ends = self._home.ends
        nested = Watch.here(self._home.url, self._home.engine)
        until = _until(timeout)
        looks, seconds = self._looks(until, timeout, nested), _pause(until, nested)
        waiter = TaskWaiter(self._key)
        with ends.woken(waiter), nested or nullcontext():
            while True:
                # Who leads looks at it first, at many tasks' jobs together.
                await waiter.wait(seconds)
                found, pause = await look(ends, looks.__next__)
                if pause is None:
                    return found
                seconds = pause

    def _looks(
        self, until: float, timeout: float | None, nested: Watch | None
    ) -> Generator[tuple[JobRecord, float | None], None, None]:
        """Look again and again: what is found, and for how long to wait then; ``None``: it has ended."""
        while True:
            found = self.record()
            if found.state in ENDED:
                yield found, None
            if monotonic() >= until:
                raise TimeoutError(self._late(found, timeout))
            if nested is not None:
                nested.look(found)
            yield found, _pause(until, nested)

    def _late(self, found: JobRecord, timeout: float | None) -> str:
        hint = ""
        workers = self._home.engine.workers() if found.state in WAITING else ()
        if found.state in WAITING and not any(worker.alive for worker in workers):
            hint = "; no worker is there to run it: start one with steadypool work MODULE:QUEUE"
        elif found.state in WAITING and not is_served(found.queue, workers):
            hint = f"; no worker serves queue {found.queue}: start one with --queue {found.queue}"
        return f"job {self.job_id} has not ended within {timeout} s ({found.state.value}){hint}"

    def _raise_unless_completed(self, found: JobRecord) -> None:
        if found.state is JobState.COMPLETED:
            return
        if found.state is JobState.CANCELLED:
            why = f": {found.reason}" if found.reason else ""
            raise JobCancelled(f"job {self.job_id} ({found.task}) was cancelled{why}", job_id=self.job_id)
        last = found.errors[-1] if found.errors else None
        told = f": {last.type_name}: {last.message}" if last is not None else ""
        raise JobDiscarded(
            f"job {self.job_id} ({found.task}) was discarded, {found.reason}{told}",
            job_id=self.job_id,
            reason=found.reason,
            type_name=last.type_name if last is not None else "",
            traceback=last.traceback if last is not None else "",
        )

    def _decoded(self, found: JobRecord) -> R:
        encoded = found.result or b"null"
        task = self._task_of(found)
        value: R = task.decode_result(encoded) if task is not None else msgspec.json.decode(encoded)
        return value

    def _task_of(self, found: JobRecord) -> ResultDecoder | None:
        return self._task or self._home.tasks.get(found.task)


def _until(timeout: float | None) -> float:
    return float("inf") if timeout is None else monotonic() + timeout


def _pause(until: float, nested: Watch | None) -> float:
    """For how long to wait before the next look, unless woken."""
    return max(0.0, min(until - monotonic(), LONGEST_WAIT if nested is None else LOOK_EVERY))


def outcome_of(found: JobRecord) -> Outcome | None:
    """How the job ended, in the words of every pool; ``None`` while it has not."""
    if found.state is JobState.COMPLETED:
        return Outcome.SUCCEEDED
    if found.state is JobState.CANCELLED:
        return Outcome.CANCELLED
    if found.state is not JobState.DISCARDED:
        return None
    return _BY_ERROR.get(found.errors[-1].outcome, Outcome.FAILED) if found.errors else Outcome.FAILED


def handle_of(home: Home, job_id: str) -> JobHandle[Any]:
    """See `Queue.get`."""
    found = home.record(job_id)
    return JobHandle(home, EnqueueResult(found.number, found.nonce, found.id, False), home.tasks.get(found.task))
