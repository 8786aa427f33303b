"""What a worker runs for a job of Django's framework, in the process and on the thread or loop that runs it.

Around each job the connections are tidied as around a request: what is broken or too old is closed. The signals
``task_started``, and ``task_finished`` of one that has returned, are sent here. Whether one that has failed is finished
is decided elsewhere (`failures`).
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import reset_queries
from django.utils import timezone

from steadypool.contrib.django.connection import tidy_connections
from steadypool.contrib.django.framework import TaskResultStatus, signals, task_backends
from steadypool.contrib.django.plain_json import plain
from steadypool.contrib.django.results import SteadypoolTaskContext, result_of
from steadypool.durable.engine.errors import ResultUnfit
from steadypool.primitives.job_context import JobContext, current_job

Runner = Callable[[list[Any], dict[str, Any]], Any]


def runner(alias: str, task: Any) -> Runner:
    """The function that becomes a task of the queue of the backend *alias*, and runs *task*."""
    made = _runner_of_coroutine(alias, task) if iscoroutinefunction(task.func) else _runner_of_function(alias, task)
    # By these another process finds it; see `SteadypoolTask.durable_task`.
    made.__module__, made.__qualname__ = task.func.__module__, task.func.__qualname__
    made.stands_for = task  # type: ignore[attr-defined]
    return made


def _runner_of_function(alias: str, task: Any) -> Runner:
    def run(args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = Attempt(alias, task, args, kwargs, current_job())
        attempt.begin()
        try:
            return attempt.finish(task.call(*attempt.arguments, **kwargs))
        finally:
            tidy_connections()

    return run


def _runner_of_coroutine(alias: str, task: Any) -> Runner:
    async def run(args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = Attempt(alias, task, args, kwargs, current_job())
        # A thread of its own for what is not async, as each request has one under ASGI.
        async with ThreadSensitiveContext():
            try:
                await sync_to_async(attempt.begin_on_loop)()
                returned = await task.acall(*attempt.arguments, **kwargs)
                return await sync_to_async(attempt.finish)(returned)
            finally:
                await sync_to_async(tidy_connections)(close=True)

    return run


class Attempt:
    """One run of a job."""

    def __init__(self, alias: str, task: Any, args: list[Any], kwargs: dict[str, Any], job: JobContext) -> None:
        self._sender = type(task_backends[alias])
        self._kept = {"args": args, "kwargs": kwargs}
        self._result = result_of(task, job.id, alias, TaskResultStatus.RUNNING, **self._kept)
        self._takes_context = task.takes_context
        context = (SteadypoolTaskContext(task_result=self._result),) if self._takes_context else ()
        self.arguments = (*context, *args)

    def begin(self) -> None:
        """Before the task."""
        reset_queries()
        tidy_connections()
        signals.task_started.send_robust(self._sender, task_result=self._result)

    def begin_on_loop(self) -> None:
        """The same for a coroutine, on a thread; what its context is asked for is there then."""
        self.begin()
        if self._takes_context:
            self._result.look_up()

    def finish(self, returned: Any) -> Any:
        """It has returned; what is kept of that. The arguments of a job that has ended are kept with its result.

        Raises:
            ResultUnfit: JSON cannot carry it.
        """
        try:
            value = plain(returned)
        except (TypeError, ValueError) as error:
            text = f"it returned what JSON cannot carry: {error}; it has run, and is not run again"
            raise ResultUnfit(text) from error
        for name, now in (
            ("status", TaskResultStatus.SUCCESSFUL),
            ("finished_at", timezone.now()),
            ("_return_value", value),
        ):
            object.__setattr__(self._result, name, now)
        signals.task_finished.send_robust(self._sender, task_result=self._result)
        return {**self._kept, "return_value": value}
