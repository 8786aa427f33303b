"""What this process knows: every task of Django's framework, and the queue of each backend.

A backend object is made for each thread that asks for one; the queues and their tasks are the process's.

A task becomes one of a queue when it is first needed there: at the first enqueue, or when a worker begins. So a task
can be enqueued on another backend than its own (``.using(backend="reports")``), and the worker of that one runs it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string, module_has_submodule

from steadypool.contrib.django.connection import be_patient
from steadypool.contrib.django.failures import FailureSignals
from steadypool.contrib.django.framework import Task
from steadypool.contrib.django.options import BackendOptions
from steadypool.contrib.django.queue import DjangoQueue
from steadypool.contrib.django.run import Runner, runner
from steadypool.contrib.django.steadypool_task import DECLARED, OF_TASKS, given, lane_of, limits_of, placeholders
from steadypool.durable.client.schedule import Schedule
from steadypool.durable.client.task import DurableTask

Maker = Callable[[str, Any], Runner]
_lock = threading.RLock()
_tasks: dict[str, Any] = {}
_queues: dict[tuple[str, BackendOptions], DjangoQueue] = {}


def remember(task: Any) -> None:
    """There is this task; a copy that has other options is the same one."""
    known = _tasks.get(task.module_path)
    if known is None or known.func is not task.func:
        _tasks[task.module_path] = task


def known_tasks() -> list[Any]:
    """All that are known so far."""
    return list(_tasks.values())


def task_at(path: str) -> Any:
    """The task of this path.

    Raises:
        ImportError: there is none.
    """
    found = _tasks.get(path)
    if found is None:
        found = import_string(path)
        if not isinstance(found, Task):
            raise ImportError(f"{path} is no task of Django's framework, but {found!r}")
        remember(found)
    return found


def known(task: Any) -> Any:
    """The task as it was declared, of which *task* may be a copy with other options."""
    return _tasks.setdefault(task.module_path, task)


def queue_of(alias: str, options: BackendOptions) -> DjangoQueue:
    """The queue of the backend *alias*."""
    key = alias, options
    with _lock:
        if key not in _queues:
            queue = _queues[key] = DjangoQueue(options)
            queue.prepare = set_up
            queue.sinks = (FailureSignals(alias, task_at),)
        return _queues[key]


def durable(queue: DjangoQueue, alias: str, path: str, make: Maker = runner) -> DurableTask[Any, Any]:
    """The task of *queue*, that of the backend *alias*, for the task of this path; *make* says what runs it."""
    task = task_at(path)
    made = queue.tasks.get(path)
    if made is not None and getattr(made.fn, "stands_for", None) is task:
        return made
    with _lock:
        if made is not None:
            for name in made.names:
                queue.tasks.pop(name, None)
        function, options = make(alias, task), _options(task, queue)
        if options.get("kind") == "async" and not iscoroutinefunction(function):
            del options["kind"]
        return queue.task(function, **options)


def _options(task: Any, queue: DjangoQueue) -> dict[str, Any]:
    options = {
        **given(task, (*OF_TASKS, "keep", "tags", *DECLARED)),
        "name": task.module_path,
        "priority": task.priority,
        "queue": task.queue_name,
    }
    options.setdefault("keep", queue.keep)
    if isinstance(unique := getattr(task, "unique", None), str) and not placeholders(unique):
        options |= {"unique": unique, **given(task, ("unique_for",))}
    if "limit" in options:
        options["limit"] = limits_of(task)
    if (lane := lane_of(task)) is not None:
        options["lane"] = lane
    if "schedule" in options:
        options["schedule"] = [_with_arguments(one) for one in options["schedule"]]
    return options


def _with_arguments(schedule: Schedule) -> Schedule:
    """The same, with its arguments as a job has them."""
    return replace(schedule, args={"args": [], "kwargs": dict(schedule.args)})


# -- all of them, for a worker


def discover(modules: tuple[str, ...] = ()) -> None:
    """Import the module ``tasks`` of each installed app, and *modules* of those that have them.

    Raises:
        Exception: what importing one raises.
    """
    for config in apps.get_app_configs():
        for name in ("tasks", *modules):
            if module_has_submodule(config.module, name):
                import_string(f"{config.name}.{name}.__name__")
    for found in _tasks_in_modules():
        remember(found)


def _tasks_in_modules() -> Iterator[Any]:
    """Tasks of other backends, too: a job of one may have been enqueued on ours."""
    packages = tuple(f"{config.name}." for config in apps.get_app_configs())
    for name, module in list(sys.modules.items()):
        if name.startswith(packages):
            yield from (value for value in list(vars(module).values()) if isinstance(value, Task))


def declare_all(queue: DjangoQueue, alias: str, modules: tuple[str, ...] = (), make: Maker = runner) -> None:
    """Make every task that this process knows one of *queue*."""
    discover(modules)
    for path in list(_tasks):
        durable(queue, alias, path, make)


def set_up() -> None:
    """What a process of a worker does first."""
    import django

    if not apps.ready:
        django.setup()
    be_patient()
