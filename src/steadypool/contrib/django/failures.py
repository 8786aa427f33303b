"""The signal ``task_finished`` for jobs that have failed for good.

The worker decides that, not the process that ran the job, which may be dead. So it is sent in the worker's own process,
on a thread for it: a receiver may take its time.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.utils import timezone

from steadypool.contrib.django.connection import tidy_connections
from steadypool.contrib.django.framework import (
    TaskError,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
    task_backends,
)
from steadypool.contrib.django.results import class_path, result_of
from steadypool.durable.worker.events import JobGivenUp
from steadypool.model.error_text import traceback_text, type_name
from steadypool.model.events import Event
from steadypool.primitives.callback_thread import CallbackThread

logger = logging.getLogger("steadypool")
AT_EXIT = 5.0
"""Seconds for which the end of the process waits for receivers."""


class FailureSignals:
    """A sink of every worker of the backend *alias*."""

    def __init__(self, alias: str, task_at: Callable[[str], Any]) -> None:
        self._alias = alias
        self._task_at = task_at
        self._thread: CallbackThread | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, JobGivenUp):
            if self._thread is None:
                self._thread = CallbackThread(f"signals of {self._alias}", lambda: None)
                atexit.register(self._thread.wait_idle, AT_EXIT)
            self._thread.run(partial(self._send, event, self._thread.has_more), event.job_id)

    def _send(self, event: JobGivenUp, has_more: Callable[[], bool]) -> None:
        tidy_connections()
        try:
            send_finished(self._alias, event.job_id, self._task_at(event.task), event.error)
        except Exception:
            logger.exception("task_finished of job %s could not be sent", event.job_id)
        finally:
            tidy_connections(close=not has_more())  # the thread may end at any time, and is to leave none behind


def send_finished(alias: str, job_id: str, task: Any, error: BaseException) -> None:
    """Send ``task_finished`` of a job that has failed for good with *error*."""
    backend, frames = task_backends[alias], error.__traceback__
    result = _result(backend, job_id, task, error)
    try:
        # The framework's own receiver logs the error that is being handled.
        raise error
    except BaseException:
        error.__traceback__ = frames
        signals.task_finished.send_robust(type(backend), task_result=result)


def _result(backend: Any, job_id: str, task: Any, error: BaseException) -> Any:
    try:
        result = backend.get_result(job_id)
    except TaskResultDoesNotExist:
        result = result_of(task, job_id, backend.alias, TaskResultStatus.FAILED, args=[], kwargs={}, errors=[])
    if not result.is_finished:  # it is being written down
        recorded = TaskError(exception_class_path=class_path(type_name(error)), traceback=traceback_text(error))
        for name, value in (
            ("status", TaskResultStatus.FAILED),
            ("errors", [*result.errors, recorded]),
            ("finished_at", timezone.now()),
        ):
            object.__setattr__(result, name, value)
    return result
