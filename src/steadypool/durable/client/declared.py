"""The schedules that a task is declared with: ``@queue.task(schedule=...)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from steadypool.durable.client.options import EnqueueKeywords, EnqueueOptions, Kind
from steadypool.durable.client.schedule import Cron, Every, Schedule
from steadypool.model.options import TaskOptions

Declared = tuple[tuple[str, Schedule], ...]
"""Each with its name."""


class DurableKeywords(EnqueueKeywords, total=False):
    """The options of ``@queue.task`` as keywords, for type checkers."""

    aliases: Iterable[str]
    schedule: Schedule | Sequence[Schedule]
    kind: Kind | None
    checkpoint: Any


def as_schedules(given: object) -> tuple[Schedule, ...]:
    """The value of the option, as a tuple.

    Raises:
        TypeError: it is neither a schedule nor some of them.
    """
    found = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    for one in found:
        if not isinstance(one, (Cron, Every)):
            raise TypeError(f"schedule must be Cron(...), Every(...), or a list of them, not {one!r}")
    return tuple(found)


class Scheduled(Protocol):
    """A task, as far as its schedules go."""

    schedules: Declared
    enqueue_options: EnqueueOptions

    @property
    def durable_name(self) -> str:
        """Its name."""

    @property
    def fn(self) -> Callable[..., Any]:
        """The function."""

    @property
    def task_options(self) -> TaskOptions:
        """Its options."""


def declare(made: Scheduled, schedules: Iterable[Schedule]) -> Declared:
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


def check_for_many(task: str, job_id: str | None, at: object, after: object) -> None:
    """Do nothing, unless a job of *task* has an id, a moment, or jobs to wait for, of its own.

    Raises:
        ValueError: it has: a schedule puts many jobs.
    """
    for name, value in (("id", job_id), ("at", at), ("after", after or None)):
        if value is not None:
            raise ValueError(f"{task} has {name}={value!r}, and a schedule puts many jobs of it: leave {name} out")


def check_no_twins(task: Scheduled, others: Iterable[Scheduled]) -> None:
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
