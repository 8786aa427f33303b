"""The tasks of a queue, by each name that they have in the store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steadypool.durable.client.declared import Declared, check_for_many
from steadypool.durable.client.schedule import Schedule
from steadypool.durable.client.task import DurableTask
from steadypool.durable.client.turns import check_same
from steadypool.model.limit import Limit

Tasks = dict[str, DurableTask[Any, Any]]


def add_task(tasks: Tasks, task: DurableTask[Any, Any], limits: Mapping[str, Limit]) -> None:
    """Add a task to *tasks*, in place of what it has replaced; *limits* are those of the queue itself.

    Raises:
        ValueError: another one has a name of it, or says something else of a schedule or limit of that name.
    """
    known = {name: tasks[name] for name in task.names if name in tasks}
    for name, other in known.items():
        if not task.replaces(other):
            raise ValueError(
                f"this queue has a task {name!r} already, {other.whereabouts()}; the second one is "
                f"{task.whereabouts()}. Workers find a task by its name: give one of them a name of its own, "
                "@queue.task(name=...)"
            )
    others = [other for other in tasks.values() if other not in known.values()]
    _check_no_twins(task, others)
    for name, limit in task.limits.items():
        check_same({**limits, **limits_of(others)}, name, limit, task.durable_name)
    for other in known.values():
        for name in other.names:
            tasks.pop(name, None)
    tasks.update(dict.fromkeys(task.names, task))


def limits_of(tasks: Iterable[DurableTask[Any, Any]]) -> dict[str, Limit]:
    """The limits of all of these, by their names."""
    return {name: limit for task in tasks for name, limit in task.limits.items()}


def declare(made: DurableTask[Any, Any], schedules: Iterable[Schedule]) -> Declared:
    """The schedules of a task with their names.

    Raises:
        ValueError: two have one name, or none; the task has an option that cannot be for more than one job.
        TypeError: the function cannot be called with the arguments of a schedule.
    """
    declared: dict[str, Schedule] = {}
    for schedule in schedules:
        task = made.durable_name
        name = schedule.name or task
        if name in declared:
            raise ValueError(
                f"{task} has two schedules {'of the name ' + repr(name) if schedule.name else 'without a name'}: a "
                "name is what a schedule is known by over deploys; give each its own, as in Cron(..., name='hourly')"
            )
        declared[name] = schedule
        _check_arguments(task, made.fn, schedule)
        check_for_many(task, made.task_options.id, made.enqueue_options.at, made.enqueue_options.after)
    return tuple(declared.items())


def _check_no_twins(task: DurableTask[Any, Any], others: Iterable[DurableTask[Any, Any]]) -> None:
    """Do nothing, unless another task has a schedule of the same name.

    Raises:
        ValueError: one has.
    """
    names = {name for name, _ in task.schedules}
    for other in others:
        for name, _ in other.schedules if names else ():
            if name in names:
                raise ValueError(
                    f"{other.durable_name} and {task.durable_name} have a schedule {name!r} each: give one another name"
                )


def _check_arguments(task: str, fn: Callable[..., Any], schedule: Schedule) -> None:
    try:
        signature = inspect.signature(fn)
    except ValueError:
        return  # a function in C: its jobs say so
    try:
        signature.bind(**schedule.args)
    except TypeError as error:
        raise TypeError(
            f"{task}{signature} cannot be called with args={dict(schedule.args)!r} of its schedule: {error}; give them "
            "by name, as in Cron(..., args={'deep': True})"
        ) from None
