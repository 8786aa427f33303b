"""An entry of Celery beat as it is written here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from keyword import iskeyword
from typing import Any

from steadypool.cli.queue.beat_schedule import when
from steadypool.durable.client.options import check_name
from steadypool.durable.client.queue import Queue

KNOWN = {"task", "schedule", "args", "kwargs", "options", "relative", "enabled", "one_off", "start_time", "expires"} | {
    "name", "app", "last_run_at", "total_run_count", "description"
}  # fmt: skip
REASONS = {
    "expires": "it has expires, and jobs do not expire here: have the task look at current_job().scheduled_for",
    "priority": "its priority means the opposite on RabbitMQ and on Redis; here the higher one runs first: give it by "
    ".options(priority=...)",
}


@dataclass(frozen=True, slots=True)
class Written:
    """What one entry has become."""

    name: str
    task: str
    when: str
    """The source of its `Cron` or `Every`, without the closing parenthesis."""
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue: str | None
    enabled: bool

    @property
    def fits_decorator(self) -> bool:
        """Whether the task can be declared with it: arguments by name, and nothing that is not the task's own."""
        names = (self.task.rpartition(".")[2], *self.kwargs)
        return not self.args and self.queue is None and self.enabled and all(map(_is_name, names))

    def as_put(self) -> str:
        """The line that keeps it as data."""
        options = "" if self.queue is None else f".options(queue={self.queue!r})"
        named = [f"{name}={value!r}" for name, value in self.kwargs.items()]
        if not all(map(_is_name, self.kwargs)):
            named = [f"**{dict(self.kwargs)!r}"]
        call = f"queue.tasks[{self.task!r}]{options}.call({', '.join([*map(repr, self.args), *named])})"
        return f"queue.schedules.put({self.name!r}, {call}, {self.when})){'' if self.enabled else '.pause()'}"

    def as_schedule(self) -> str:
        """What a task is declared with."""
        return f"{self.when}, name={self.name!r}{f', args={dict(self.kwargs)!r}' if self.kwargs else ''})"


def written(name: str, entry: Mapping[str, Any], zone: str) -> Written:
    """The entry, if all of it can be had here.

    Raises:
        ValueError, TypeError, PayloadRefused: the reason why not.
    """
    task, options = entry.get("task"), dict(entry.get("options") or {})
    if not isinstance(task, str) or not task:
        raise TypeError(f"its task is {task!r}, and not the name of one")
    if task.startswith("celery."):
        raise ValueError("it is housekeeping of Celery's own; here workers remove old jobs on their own")
    _refuse(entry, options)
    ticks = when(entry.get("schedule"), zone, relative=bool(entry.get("relative")))
    args, kwargs = _plain(list(entry.get("args") or ())), _plain(dict(entry.get("kwargs") or {}))
    found = Written(name, task, ticks, args, kwargs, options.get("queue") or None, bool(entry.get("enabled", True)))
    _try(found)
    return found


def _refuse(entry: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise for what an entry has and cannot have here."""
    if entry.get("one_off"):
        raise ValueError("it is one_off, and runs once: task.options(at=...).enqueue() puts one job")
    if entry.get("expires"):
        raise ValueError(f"it ends at {entry['expires']}, and schedules here end when they are removed")
    start = entry.get("start_time")
    if start:
        start = start if isinstance(start, datetime) else datetime.fromisoformat(start)
        if (start if start.tzinfo else start.replace(tzinfo=UTC)) > datetime.now(UTC):
            raise ValueError(f"it begins at {start}, and schedules here begin at once: put it then")
    for option, value in options.items():
        if option != "queue" and value not in (None, {}, ""):
            raise ValueError(REASONS.get(option, f"there is no option {option}={value!r} of a schedule's jobs here"))
    unknown = entry.keys() - KNOWN
    if unknown:
        raise ValueError(f"what its {min(map(str, unknown))!r} means is not known")


def _plain(value: Any) -> Any:
    """The value, as JSON carries it and as it can be written in code."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) in (list, tuple):
        return [_plain(one) for one in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: _plain(one) for key, one in value.items()}
    raise TypeError(f"its argument {value!r:.100} cannot be written as JSON")


def _try(found: Written) -> None:
    """Have a queue without a store look at the names and the arguments."""
    check_name("the name of a schedule", found.name, "nightly")
    queue = Queue()

    @queue.task(name=found.task)
    def task(*args: Any, **kwargs: Any) -> None: ...

    task.options(queue=found.queue or "default").call(*found.args, **found.kwargs)


def module(found: Sequence[Written], *, as_data: bool) -> Iterator[str]:
    """The lines of all: tasks declared with what can be declared, and the others put as data."""
    declared: dict[str, list[Written]] = {}
    for one in found:
        if one.fits_decorator and not as_data:
            declared.setdefault(one.task, []).append(one)
    put = [one for one in found if one not in declared.get(one.task, ())]
    if any(one.when.startswith("Every") for one in found):
        yield "# Every is counted from 1970, and not from the start of beat: its ticks come at other moments."
    if any(one.when.startswith("Cron") and not one.when.endswith("tz='UTC'") for one in found):
        yield "# When clocks change, the hour that is missing or comes twice has other ticks than in Celery."
    classes = sorted({one.when.partition("(")[0] for one in found})
    if classes:
        yield f"from steadypool import {', '.join(classes)}  # and `queue`, your Queue"
    for task, entries in declared.items():
        schedules = [one.as_schedule() for one in entries]
        shown = schedules[0] if len(schedules) == 1 else "".join(["[\n", *(f"    {one},\n" for one in schedules), "]"])
        names = dict.fromkeys(name for one in entries for name in one.kwargs)
        yield ""
        yield ""
        yield f"@queue.task(name={task!r}, schedule={shown})"
        yield f"def {task.rpartition('.')[2]}({', '.join(f'{name}=None' for name in names)}): ..."
    if put:
        yield ""
        yield ""
        yield "# Kept as data: run this once, after `steadypool migrate`."
        yield from (one.as_put() for one in put)


def _is_name(text: str) -> bool:
    return text.isidentifier() and not iskeyword(text)
