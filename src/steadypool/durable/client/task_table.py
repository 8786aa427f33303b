"""The tasks of a queue, by each name that they have in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steadypool.durable.client.declared import check_no_twins
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
    check_no_twins(task, others)
    for name, limit in task.limits.items():
        check_same({**limits, **limits_of(others)}, name, limit, task.durable_name)
    for other in known.values():
        for name in other.names:
            tasks.pop(name, None)
    tasks.update(dict.fromkeys(task.names, task))


def limits_of(tasks: Iterable[DurableTask[Any, Any]]) -> dict[str, Limit]:
    """The limits of all of these, by their names."""
    return {name: limit for task in tasks for name, limit in task.limits.items()}
