"""A job's record as a result of Django's framework."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from msgspec import json

import steadypool
from steadypool.contrib.django.framework import TaskContext, TaskError, TaskResult, TaskResultStatus, task_backends
from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.states import JobState
from steadypool.primitives.job_context import JobContext, current_job

STATUS = {
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.COMPLETED: TaskResultStatus.SUCCESSFUL,
    JobState.DISCARDED: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
}
"""All others wait: they are ready."""
LOOKED_UP = ("enqueued_at", "started_at", "finished_at", "last_attempted_at", "errors", "worker_ids", "_return_value")


class SteadypoolTaskResult(TaskResult):
    """A result that looks up what it does not know when that is first asked for.

    What a worker gives to receivers of signals, and to a task that takes its context, is known without a look at the
    database but for when it was enqueued and what became of earlier attempts.
    """

    @property
    def job_id(self) -> str:
        """The job's id, as a `steadypool.JobHandle` has it."""
        return str(self.id)

    def __getattr__(self, name: str) -> Any:
        if name not in LOOKED_UP:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.look_up()
        return object.__getattribute__(self, name)

    def look_up(self) -> None:
        """Look up all of that: for code on an event loop, which cannot do so itself."""
        found = task_backends[self.backend].get_result(self.id)
        for missing in LOOKED_UP:
            if not _is_set(self, missing):
                object.__setattr__(self, missing, getattr(found, missing))


def _is_set(result: Any, name: str) -> bool:
    try:
        object.__getattribute__(result, name)
    except AttributeError:
        return False
    return True


def result_of(task: Any, job_id: str, alias: str, status: Any, **facts: Any) -> SteadypoolTaskResult:
    """A result of which *facts* are known."""
    result: SteadypoolTaskResult = object.__new__(SteadypoolTaskResult)
    for name, value in {"task": task, "id": job_id, "backend": alias, "status": status, **facts}.items():
        object.__setattr__(result, name, value)
    return result


def result_of_record(record: JobRecord, task: Any, alias: str) -> SteadypoolTaskResult:
    """The result that *record* is, of the backend *alias*."""
    kept = json.decode(record.payload or record.result or b"{}")
    runs = list(_runs(record))
    started = runs[0][1] if runs else None
    return result_of(
        task,
        record.id,
        alias,
        STATUS.get(record.state, TaskResultStatus.READY),
        args=kept.get("args", []),
        kwargs=kept.get("kwargs", {}),
        enqueued_at=moment(record.enqueued_at),
        started_at=moment(started),
        last_attempted_at=moment(runs[-1][1] if runs else None),
        finished_at=moment(record.ended_at),
        errors=[*map(error_of, record.errors), *_endings(record)],
        worker_ids=[worker for worker, _ in runs],
        _return_value=kept.get("return_value") if record.state is JobState.COMPLETED else None,
    )


def _runs(record: JobRecord) -> Iterator[tuple[str, float | None]]:
    """Who ran each attempt that counts, and since when."""
    known: set[tuple[str, float | None]] = set()
    for error in record.errors:
        if error.worker is not None and error.outcome != "returned":
            known.add((error.worker, error.started_at))
            yield error.worker, error.started_at
    last = record.worker, record.started_at
    if last[0] is not None and last not in known:
        yield last[0], last[1]


def _endings(record: JobRecord) -> Iterator[Any]:
    """What no attempt has said: that it was cancelled, or given up by hand."""
    if record.state is JobState.CANCELLED:
        yield TaskError(exception_class_path="steadypool.JobCancelled", traceback="JobCancelled: it was cancelled")
    elif record.state is JobState.DISCARDED and (record.worker is None or not record.errors):
        yield TaskError(
            exception_class_path="steadypool.JobDiscarded", traceback=f"JobDiscarded: {record.reason or 'discarded'}"
        )


def error_of(error: AttemptError) -> Any:
    """Why an attempt failed. One that was lost with its worker is one that crashed."""
    name = error.type_name or "WorkerCrashed"
    return TaskError(exception_class_path=class_path(name), traceback=error.traceback or f"{name}: {error.message}")


def class_path(type_name: str) -> str:
    """The path of an exception's class, by the name that the queue has recorded."""
    module, _, name = type_name.rpartition(".")
    if module not in ("", "steadypool"):
        return type_name
    if name in steadypool.__all__:
        return f"steadypool.{name}"
    return f"builtins.{name}" if hasattr(builtins, name) else "steadypool.PayloadRefused"  # one of its kinds


def moment(seconds: float | None) -> datetime | None:
    """A moment as the project's other ones are: with a time zone if it uses them."""
    if seconds is None:
        return None
    found = datetime.fromtimestamp(seconds, UTC)
    return found if settings.USE_TZ else timezone.make_naive(found)


class SteadypoolTaskContext(TaskContext):
    """What a task that takes its context gets: the framework's, and ``job``."""

    @property
    def job(self) -> JobContext:
        """The job: its time limit, whether it is to stop, its progress."""
        return current_job()

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        job = self.job
        token = str(job.meta.get("fencing_token", "")).rpartition(":")[2]
        # As many workers have had it as attempts were begun, unless one gave it back or was lost.
        return job.attempt if token == str(job.attempt) else len(self.task_result.worker_ids)
