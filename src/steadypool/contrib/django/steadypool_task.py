"""`SteadypoolTask`: a task of Django's framework, with the options of a durable one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from steadypool.contrib.django.framework import InvalidTask, Task, task_backends
from steadypool.durable.client.call import Call
from steadypool.durable.client.checkpoint import StateType
from steadypool.durable.client.declared import as_schedules
from steadypool.durable.client.options import EnqueueOptions, check_aliases, check_key, check_kind
from steadypool.durable.client.schedule import Schedule
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.records import Needs, OnTaken
from steadypool.model.limit import By, FixedLane, Limit, as_limits, check_lane
from steadypool.model.options import Retry, TaskOptions
from steadypool.model.peer_names import unknown_option
from steadypool.rules.near_names import near_name

Seconds = float | timedelta
UNIQUE = ("unique", "unique_for", "on_taken", "at_most")
OF_TASKS = ("timeout", "total_timeout", "retry", "meta")
DECLARED = ("limit", "kind", "aliases", "schedule", "checkpoint")
"""Options of the task itself: none of them can be changed for one call."""
AFTER = ("after", "needs")
PER_CALL = (*OF_TASKS, *UNIQUE, *AFTER, "lane", "keep", "tags")


@dataclass(frozen=True, kw_only=True)
class SteadypoolTask(Task):
    """What ``@task(...)`` makes where the backend is a `SteadypoolBackend`.

    Args:
        timeout: seconds that one attempt may run. Here and below a `timedelta` will do, too.
        total_timeout: seconds from the enqueue to the end of the last attempt.
        retry: a `steadypool.Retry`.
        meta: a small mapping that shows up in events, and as ``context.job.meta``.
        unique: a key: while a job of this task with this key waits or runs, no other is put. ``{names}`` in it stand
            for arguments of the call, as in ``"welcome-{user_id}"``; or a function of them that returns the key.
        limit: a `steadypool.Limit` or a list of them, which may count ``by`` an argument.
        lane: by which arguments its jobs take turns, as in ``lane="tenant"``.
        after: for one call: results of jobs, or their ids, that must have ended before it runs.
        needs: for one call: how they must have ended, ``"success"`` or ``"end"``.
        unique_for, on_taken, at_most, keep, tags: as `steadypool.Queue.task` takes them.
        kind: what runs it, whatever the worker: ``"process"``, ``"thread"`` or ``"async"``.
        aliases: paths that the task had before: jobs that were enqueued under one of them are run, too.
        checkpoint: the type of the states that its jobs save for their next run, as in ``checkpoint=int``.
        schedule: a `steadypool.Cron` or `Every`, or a list of them: workers then put jobs by themselves.
    """

    timeout: Seconds | None = None
    total_timeout: Seconds | None = None
    retry: Retry | None = None
    meta: Mapping[str, Any] | None = field(default=None, hash=False)
    unique: str | Callable[..., str] | None = None
    unique_for: Seconds | None = None
    on_taken: OnTaken | None = None
    at_most: Seconds | None = None
    limit: Limit | Sequence[Limit] = ()
    lane: By | FixedLane | None = None
    after: Sequence[Any] = field(default=(), hash=False)
    needs: Needs | None = None
    keep: Seconds | None = None
    tags: Sequence[str] = ()
    kind: str | None = None
    aliases: Sequence[str] = ()
    schedule: Schedule | Sequence[Schedule] = ()
    checkpoint: Any = None

    def __post_init__(self) -> None:
        self.get_backend().validate_task(self)
        object.__setattr__(self, "tags", tuple(self.tags))
        object.__setattr__(self, "after", tuple(self.after))
        object.__setattr__(self, "aliases", tuple(self.aliases))
        object.__setattr__(self, "schedule", as_schedules(self.schedule))
        object.__setattr__(self, "limit", as_limits(self.limit))
        remember = getattr(self.get_backend(), "remember", None)
        if remember is not None:
            remember(self)

    def using(self, **changes: Any) -> Any:
        """A copy with some options changed: Django's own, and those that can be changed for one call.

        Raises:
            TypeError: for one that cannot.
        """
        for name in changes.keys() - CHANGEABLE:
            if name in DECLARED:
                raise TypeError(f"{name} is the task's own, and cannot be changed for one call: @task({name}=...)")
            raise TypeError(unknown_option(name, CHANGEABLE))
        if isinstance(changes.get("lane"), str):
            changes["lane"] = FixedLane(changes["lane"])  # the lane itself, and not an argument's name
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def __reduce__(self) -> Any:
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "func"}
        return _restored, (self.module_path, own)

    def __deepcopy__(self, memo: dict[int, Any]) -> SteadypoolTask:
        return self

    @property
    def durable_task(self) -> DurableTask[Any, Any]:
        """The task of the backend's queue that it stands for."""
        found: DurableTask[Any, Any] = self.get_backend().durable_task(self)
        return found

    def to_call(self, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """One call as a value: for `Queue.put` of the backend's ``queue``, or a schedule that is made at run time."""
        call: Call[Any] = self.get_backend().call_of(self, args, kwargs)
        return call


def _restored(path: str, own: dict[str, Any]) -> SteadypoolTask:
    found = import_string(path)
    return SteadypoolTask(func=getattr(found, "func", found), **own)


CHANGEABLE = frozenset({"priority", "queue_name", "run_after", "backend", *PER_CALL})


def task(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """``@task`` of Django's framework with the options of `SteadypoolTask`, on versions too that take none of these.

    Since Django 6.1, and in the backport for 5.2, ``@task`` of the framework itself takes them.
    """
    backend = options.get("backend", "default")
    if "run_after" in options:
        raise TypeError("run_after is for one call, and not for a task: use .using(run_after=...)")

    def make(func: Callable[..., Any]) -> Any:
        defaults: dict[str, Any] = {name: value for name, value in _FRAMEWORKS_DEFAULTS.items() if name in _FIELDS}
        return task_backends[backend].task_class(func=func, **{**defaults, **options})

    return make if function is None else make(function)


_FIELDS = {one.name for one in fields(Task)}
_FRAMEWORKS_DEFAULTS = {
    "priority": 0,
    "queue_name": "default",
    "backend": "default",
    "takes_context": False,
    "run_after": None,
}


def given(task: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those of these options that the task has, which may be one of the framework's own class."""
    found = {name: getattr(task, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None and value != ()}


def check_options(task: Any) -> None:
    """Do nothing, unless an option of ours does not fit.

    Raises:
        InvalidTask: saying which.
    """
    try:
        TaskOptions(**given(task, OF_TASKS))
        unique = {"unique": "key"} if getattr(task, "unique", None) is not None else {}
        EnqueueOptions(**{**given(task, (*UNIQUE, *AFTER, "keep", "tags")), **unique, **_waits(task)})
        if check_kind(getattr(task, "kind", None)) == "async" and not inspect.iscoroutinefunction(task.func):
            raise TypeError("kind='async' is for coroutine functions (async def)")
        check_aliases(getattr(task, "aliases", ()))
        if (checkpoint := getattr(task, "checkpoint", None)) is not None:
            StateType(task.module_path, checkpoint)
        schedules = as_schedules(getattr(task, "schedule", ()))
        for schedule in schedules:
            bind(task, (), schedule.args)
        check_turns(task)
        template = getattr(task, "unique", None)
        if template is not None:
            check_unique(task, template, bool(schedules))
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"{task.module_path}: {error}") from error


def _waits(task: Any) -> dict[str, Any]:
    # Its own wait is known at the enqueue.
    return {"delay": 1.0, "at_most": None} if getattr(task, "on_taken", None) == "push_back" else {}


def check_turns(task: Any) -> None:
    """Do nothing, unless a limit, or the lane, is by an argument that the function has not.

    Raises:
        TypeError: it is.
    """
    wanted = [("limit", limit.by) for limit in as_limits(getattr(task, "limit", ()))]
    for what, by in (*wanted, ("lane", check_lane(getattr(task, "lane", None)))):
        names = (by,) if isinstance(by, str) else by if isinstance(by, tuple) else ()
        known = signature_of(task.func).parameters
        for name in names:
            if name not in known:
                near = near_name(name, known)
                hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known) or 'none'}"
                raise TypeError(f"{what}={by!r}: the function has no parameter {name!r}: {hint}")


def check_unique(task: Any, template: object, scheduled: bool) -> None:
    """Do nothing, unless it is no key, or none for the task's arguments.

    Raises:
        TypeError, ValueError: saying why.
    """
    if callable(template):
        return
    check_key("unique", template, "welcome-{user_id}")
    assert isinstance(template, str)
    names = placeholders(template)
    known = signature_of(task.func).parameters
    for name in names - known.keys():
        if not any(one.kind is one.VAR_KEYWORD for one in known.values()):
            raise ValueError(f"unique={template!r} names {name!r}, and the function has no such argument")
    if names and scheduled:
        raise ValueError(f"unique={template!r} is for calls, and a schedule puts jobs as well: give one without names")


@cache
def placeholders(template: str) -> frozenset[str]:
    """The names in braces.

    Raises:
        ValueError: the braces do not match, or hold more than a name.
    """
    from string import Formatter

    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"unique={template!r} may have names of arguments in braces, and nothing else")
    return frozenset(names)


@cache
def signature_of(func: Callable[..., Any]) -> inspect.Signature:
    """The function's signature."""
    return inspect.signature(func)


def bind(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments by name.

    Raises:
        TypeError: the function cannot be called like that.
    """
    signature = signature_of(task.func)
    try:
        bound = signature.bind(*(("context",) if task.takes_context else ()), *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{task.module_path}{signature} cannot be called like that: {error}") from None
    bound.apply_defaults()
    return bound.arguments


@dataclass(frozen=True)
class OfCall:
    """A limit's or a lane's ``by``, for calls as they are stored: all positional arguments in one, all others in
    another."""

    by: By
    task: Any = field(compare=False)

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the call counts as."""
        if callable(self.by):
            return self.by(*args, **kwargs)
        named = bind(self.task, args, kwargs)
        return named[self.by] if isinstance(self.by, str) else tuple(named[name] for name in self.by)


def lane_of(task: Any) -> OfCall | FixedLane | None:
    """The lane, for calls as they are stored."""
    lane = getattr(task, "lane", None)
    return lane if lane is None or isinstance(lane, FixedLane) else OfCall(lane, task)


def limits_of(task: Any) -> list[Limit]:
    """The limits, likewise."""
    limits = as_limits(getattr(task, "limit", ()))
    return [limit if limit.by is None else replace(limit, by=OfCall(limit.by, task)) for limit in limits]


def key_of(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The unique key of one call."""
    template = getattr(task, "unique", None)
    if template is None:
        return None
    if callable(template):
        return str(template(*args, **kwargs))
    named = dict(bind(task, args, kwargs))
    for parameter in signature_of(task.func).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            named = {**named[parameter.name], **named}
    return str(template).format(**named)
