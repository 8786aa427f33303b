"""Which jobs an assertion means, and what it says when there is none."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import ArgumentsUnfit
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import JobState
from steadypool.model.checks import as_seconds

ENQUEUED = frozenset(state for state in JobState if state.value in ("scheduled", "available", "waiting"))
"""The states of a job that was enqueued, and that no worker has begun."""
NEAR = 0.001
"""Seconds by which two moments may differ that are the same: what a database keeps of one."""
MOST_SHOWN = 5
_NOT_GIVEN: Any = object()


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """Equal to every number from *low* to *high*; made by `between`."""

    low: float
    high: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float)) and self.low <= other <= self.high

    __hash__ = None  # type: ignore[assignment] # it is equal to many

    def __repr__(self) -> str:
        return f"between({self.low:g}, {self.high:g})"


def between(low: float | timedelta, high: float | timedelta) -> Between:
    """Any number from *low* to *high*, as in ``assert_enqueued(welcome, delay=between(50, 70))``."""
    return Between(as_seconds(low), as_seconds(high))


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """One job as a test sees it."""

    id: str
    task: str
    queue: str
    state: str
    arguments: Mapping[str, Any] = field(hash=False)
    """By their names, defaults included, in the types of the signature; empty when the job has completed: a store keeps
    them no longer."""
    delay: float
    """Seconds from its enqueue until it may run."""
    at: datetime
    """When it may run, or might have run first."""
    priority: int
    record: JobRecord
    """All that the store knows of it."""

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        more = [f"queue={self.queue!r}"] if self.queue != "default" else []
        more += [f"delay={self.delay:.3f}"] if self.delay else []
        return " ".join([f"{self.id} {self.state} {self.task.rpartition('.')[2]}({shown})", *more])


def seen(record: JobRecord, tasks: Mapping[str, DurableTask[Any, Any]]) -> EnqueuedJob:
    """The job of that record."""
    task = tasks.get(record.task)
    due = record.enqueued_at if record.due_at is None else record.due_at
    return EnqueuedJob(
        record.id,
        record.task,
        record.queue,
        record.state.value,
        {} if record.payload is None else _arguments(record.payload, task),
        due - record.enqueued_at,
        datetime.fromtimestamp(due, UTC),
        record.priority,
        record,
    )


def _arguments(payload: bytes, task: DurableTask[Any, Any] | None) -> Mapping[str, Any]:
    if task is not None:
        try:
            args, kwargs = task.payload.decode(payload)
        except ArgumentsUnfit:
            pass  # as the store has them, then: this task would not take them either
        else:
            return _by_name(inspect.signature(task.fn).bind(*args, **kwargs), all_of_them=True)
    return msgspec.json.decode(payload, type=dict[str, Any])


def _by_name(bound: inspect.BoundArguments, *, all_of_them: bool) -> dict[str, Any]:
    """The arguments by name, those in ``**kwargs`` among them."""
    if all_of_them:
        bound.apply_defaults()
    named = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
    return named


class Expected:
    """What an assertion asks for.

    Args:
        task: the task.
        args, given: the arguments, and what else is asked for: ``exactly``, ``queue``, ``delay``, ``at``, ``priority``.
            A keyword that is an argument of the task is meant as that; *options* has what else it could mean.

    Raises:
        TypeError: the task does not take these arguments; or it is no task of a queue.
    """

    def __init__(
        self, task: object, args: Sequence[Any], given: Mapping[str, Any], options: Mapping[str, Any] | None
    ) -> None:
        if not isinstance(task, DurableTask):
            raise TypeError(f"this needs a task, made by @queue.task, not {task!r}")
        self.name = task.durable_name
        self.names = task._origin.names
        options = dict(options or {})
        wrong = options.keys() - {"exactly", "queue", "delay", "at", "priority"}
        if wrong:
            raise TypeError(f"options may have exactly, queue, delay, at and priority, not {', '.join(sorted(wrong))}")
        kwargs = {name: value for name, value in given.items() if value is not _NOT_GIVEN}
        for name in ("exactly", "queue", "delay", "at", "priority"):
            if name in kwargs and not task.payload.has_parameter(name):
                options[name] = kwargs.pop(name)
        self.exactly = bool(options.pop("exactly", False))
        self.fields = {name: _plain(name, value) for name, value in options.items()}
        signature = inspect.signature(task.fn)
        try:
            bound = signature.bind(*args, **kwargs) if self.exactly else signature.bind_partial(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{task.durable_name}{signature} takes no such arguments: {error}") from None
        self.arguments = _by_name(bound, all_of_them=self.exactly)

    def means(self, job: EnqueuedJob) -> bool:
        """Whether the job is one of those."""
        return job.task in self.names and not self.differences(job)

    def differences(self, job: EnqueuedJob) -> list[str]:
        """Where the job, which is of the task, differs; nothing: it is meant."""
        missing: Any = object()
        pairs = {name: (value, job.arguments.get(name, missing)) for name, value in self.arguments.items()}
        if self.exactly:
            pairs |= {name: (missing, value) for name, value in job.arguments.items() if name not in pairs}
        found = [
            f"{name} is {_shown(there, missing)}, not {_shown(wanted, missing)}"
            for name, (wanted, there) in pairs.items()
            if wanted != there
        ]
        actual = {"queue": job.queue, "delay": job.delay, "at": job.at.timestamp(), "priority": job.priority}
        for name, wanted in self.fields.items():
            there = actual[name]
            is_same = abs(wanted - there) <= NEAR if name in ("at", "delay") and _is_number(wanted) else wanted == there
            if not is_same:
                found.append(f"{name} is {_text(name, there)}, not {_text(name, wanted)}")
        return found

    def __str__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.arguments.items()]
        more = [f"{name} {_text(name, value)}" for name, value in self.fields.items()]
        how = ["with these arguments alone"] if self.exactly else []
        return ", ".join([f"{self.name}({', '.join(shown)})", *how, *more])


def none_found(expected: Expected, every: Iterable[EnqueuedJob]) -> str:
    """Why there is no such job: what comes nearest, and what else there is."""
    mine: list[EnqueuedJob] = []
    others: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    for job in every:
        if job.task in expected.names and JobState(job.state) in ENQUEUED:
            mine.append(job)
        elif job.task in expected.names:
            begun[job.state] += 1
        elif JobState(job.state) in ENQUEUED:
            others[job.task] += 1
    lines: list[str] = []
    if mine:
        near = sorted(mine, key=lambda job: len(expected.differences(job)))
        lines.append(f"nearest, of {len(mine)} of this task:")
        lines += [f"  {job}: {'; '.join(expected.differences(job)) or 'it is one'}" for job in near[:MOST_SHOWN]]
    else:
        lines.append("no job of this task is enqueued")
    if begun:
        shown = ", ".join(f"{count} {state}" for state, count in begun.items())
        lines.append(f"of this task there are, and do not count: {shown}")
    if others:
        shown = ", ".join(f"{name} ({count})" for name, count in others.most_common(MOST_SHOWN))
        lines.append(f"of other tasks: {shown}")
    return "\n".join(lines)


def _plain(name: str, value: Any) -> Any:
    if name == "delay":
        return as_seconds(value)
    if name == "at" and isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"at has no time zone; use {value.replace(tzinfo=UTC)!r} or at.astimezone()")
        return value.timestamp()
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _text(name: str, value: Any) -> str:
    if name == "at" and _is_number(value):
        return str(datetime.fromtimestamp(value, UTC))
    return f"{value:.3f}" if isinstance(value, float) else repr(value)


def _shown(value: object, missing: object) -> str:
    return "missing" if value is missing else repr(value)
