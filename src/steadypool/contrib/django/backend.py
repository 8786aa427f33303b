"""`SteadypoolBackend`: the backend for ``TASKS`` in the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from asgiref.sync import sync_to_async
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from steadypool.contrib.django import registry
from steadypool.contrib.django.framework import (
    BaseTaskBackend,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from steadypool.contrib.django.options import APP, BackendOptions, problems_of
from steadypool.contrib.django.plain_json import plain
from steadypool.contrib.django.queue import DjangoQueue
from steadypool.contrib.django.results import SteadypoolTaskResult, result_of, result_of_record
from steadypool.contrib.django.steadypool_task import (
    PER_CALL,
    UNIQUE,
    SteadypoolTask,
    bind,
    check_options,
    key_of,
    lane_of,
)
from steadypool.durable.client.call import Call
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.texts import LONGEST_KEY, what_is_wrong_with


class SteadypoolBackend(BaseTaskBackend):
    """Tasks on a durable queue, in the project's own database or in another.

    Attributes:
        queue: the queue; `steadypool.Queue` says what it can do.
    """

    task_class = SteadypoolTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._params = params

    @property
    def steadypool_options(self) -> BackendOptions:
        """``OPTIONS`` of the settings."""
        return BackendOptions.of(self.options)

    @cached_property
    def queue(self) -> DjangoQueue:
        """The queue, which is the same for all threads.

        Raises:
            ImproperlyConfigured: the settings are wrong; ``manage.py check`` says how.
        """
        for problem in problems_of(self.alias, self.options, self._params.get("QUEUES", ())):
            if problem.id != "E002":  # to enqueue it need not be installed
                raise ImproperlyConfigured(f"{problem.text} {problem.hint}".strip())
        return registry.queue_of(self.alias, self.steadypool_options)

    def check(self, **_: Any) -> Iterable[checks.CheckMessage]:
        """What is wrong with the settings."""
        for number, text, hint in problems_of(self.alias, self.options, self._params.get("QUEUES", ())):
            yield checks.Error(text, hint=hint or None, id=f"steadypool.{number}")

    # -- tasks

    def validate_task(self, task: Any) -> None:
        """Do nothing, unless the task cannot be run.

        Raises:
            InvalidTask: saying why.
        """
        super().validate_task(task)
        check_options(task)

    def remember(self, task: Any) -> None:
        """There is this task."""
        registry.remember(task)

    def durable_task(self, task: Any) -> DurableTask[Any, Any]:
        """The task of the queue that *task* stands for."""
        return registry.durable(self.queue, self.alias, registry.known(task).module_path)

    # -- putting

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> SteadypoolTaskResult:
        """Put a job, in the transaction that Django's connection is in: it is there if and only if that commits."""
        self.validate_task(task)
        given = plain(list(args)), plain(dict(kwargs))
        [placed] = self.queue.put_here([self._job(task, *given)])
        if placed.enqueued:
            nothing: dict[str, Any] = dict.fromkeys(("started_at", "finished_at", "last_attempted_at", "_return_value"))
            facts = {"args": given[0], "kwargs": given[1], "errors": [], "worker_ids": [], **nothing}
            result = result_of(task, placed.id, self.alias, TaskResultStatus.READY, **facts)
            signals.task_enqueued.send(type(self), task_result=result)
            return result
        return self.get_result(placed.id)  # another job has its unique key

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> SteadypoolTaskResult:
        """The same from asyncio, on the connection of its synchronous code."""
        return await sync_to_async(self._enqueue_and_look, thread_sensitive=True)(task, args, kwargs)

    def _enqueue_and_look(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> SteadypoolTaskResult:
        result = self.enqueue(task, args, kwargs)
        result.look_up()
        return result

    def call_of(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call[Any]:
        """One call, not put yet."""
        self.validate_task(task)
        return Call(self._job(task, plain(list(args)), plain(dict(kwargs))))

    def _job(self, task: Any, args: list[Any], kwargs: dict[str, Any]) -> NewJob:
        bind(task, args, kwargs)
        durable = self.durable_task(task)
        changes = self._changes(task, registry.known(task))
        key = key_of(task, args, kwargs)
        if key is not None:
            changes |= {name: value for name in UNIQUE if (value := getattr(task, name)) is not None}
            changes["unique"] = key
        if changes:
            durable = durable.options(**changes)
        return durable.new_job((args, kwargs), {})

    @staticmethod
    def _changes(task: Any, declared: Any) -> dict[str, Any]:
        """The options that *task* has, and the one that was declared has not."""
        names = ("priority", *(name for name in PER_CALL if name not in UNIQUE))
        changes = {
            name: value
            for name in names
            if (value := getattr(task, name, None)) is not None and value != getattr(declared, name, None)
        }
        if "lane" in changes:
            changes["lane"] = lane_of(task)
        if task.queue_name != declared.queue_name:
            changes["queue"] = task.queue_name
        if task.run_after is not None:
            naive = timezone.is_naive(task.run_after)
            changes["at"] = timezone.make_aware(task.run_after) if naive else task.run_after
        return changes

    # -- looking

    def get_result(self, result_id: str) -> SteadypoolTaskResult:
        """What is known of a job now.

        Raises:
            TaskResultDoesNotExist: there is none of this id, or its record was pruned.
        """
        text = str(result_id)
        record = self.queue.engine.get(text) if text and not what_is_wrong_with(text, LONGEST_KEY) else None
        if record is None:
            raise TaskResultDoesNotExist(f"there is no job {text!r}, or its record was pruned")
        try:
            task = registry.task_at(record.task)
        except (ImportError, ValueError) as error:
            raise TaskResultDoesNotExist(f"job {text!r} is of {record.task}, which is no task here: {error}") from error
        own = {"priority": record.priority, "queue_name": record.queue, "backend": self.alias}
        changed = {name: value for name, value in own.items() if value != getattr(task, name)}
        return result_of_record(record, task.using(**changed) if changed else task, self.alias)


__all__ = ["APP", "SteadypoolBackend"]
