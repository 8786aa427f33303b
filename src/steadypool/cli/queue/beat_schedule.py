"""When an entry of Celery beat is due, as `Cron` or `Every` say it: pure, and by the attributes that Celery's have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from cronsim import CronSim, CronSimError

from steadypool import Cron, Every

FIELDS = {
    "minute": ("minutes", range(60), ""),
    "hour": ("hours", range(24), ""),
    "day_of_month": ("days", range(1, 32), ""),
    "month_of_year": ("months", range(1, 13), "jan feb mar apr may jun jul aug sep oct nov dec"),
    "day_of_week": ("weekdays", range(7), "sun mon tue wed thu fri sat"),
}
"""Of a crontab, in the order of an expression: cronsim's name, its numbers, and the names of these."""
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_PART = re.compile(r"(?:\*|(\w+)|(\w+)-(\w+))(?:/(\d+))?")
_SOME_DAY = datetime(2000, 1, 1)


def when(schedule: Any, zone: str, *, relative: bool = False) -> str:
    """The source of a `Cron` or `Every` with the ticks of *schedule*, without its closing parenthesis.

    Raises:
        ValueError, TypeError: there is none; the reason.
    """
    if hasattr(schedule, "clocked_time"):
        raise ValueError(
            f"it is clocked, for {schedule.clocked_time} alone: task.options(at=...).enqueue() puts one job"
        )
    if hasattr(schedule, "event"):
        raise ValueError(f"it is solar ({schedule.event}); there are no schedules by the sun here")
    is_due = getattr(type(schedule), "is_due", None)
    if is_due is not None and is_due.__module__.partition(".")[0] not in ("celery", "django_celery_beat"):
        raise ValueError(f"its {type(schedule).__name__} decides by code of its own when it is due")
    # Celery's own classes keep the app's zone there, once it was asked for.
    of_celery = type(schedule).__module__ == "celery.schedules" or not hasattr(schedule, "__dict__")
    own_zone = None if of_celery else vars(schedule).get("tz")
    if getattr(schedule, "nowfun", None) is not None and own_zone is None:
        raise ValueError("its nowfun= is a clock of its own; here the database's clock alone counts")
    if hasattr(schedule, "_orig_minute"):
        return _cron(schedule, str(own_zone or zone))
    if relative or getattr(schedule, "relative", False):
        raise ValueError("relative=True rounds to full units of the clock: write Cron, such as Cron('0 * * * *')")
    return _every(getattr(schedule, "run_every", schedule))


def _every(interval: Any) -> str:
    if isinstance(interval, (int, float)) and not isinstance(interval, bool):
        interval = timedelta(seconds=interval)
    if not isinstance(interval, timedelta):
        raise TypeError(f"its schedule is {interval!r}: no crontab, timedelta or number of seconds")
    Every(seconds=interval.total_seconds())
    if interval.microseconds:
        return f"Every(seconds={interval.total_seconds()!r}"
    whole = interval // timedelta(seconds=1)
    unit = next(name for name, size in UNITS.items() if whole % size == 0)
    return f"Every({unit}={whole // UNITS[unit]}"


def _cron(crontab: Any, zone: str) -> str:
    days = {name: _numbers(name, getattr(crontab, f"_orig_{name}")) for name in FIELDS}
    fields = {name: _field(name, getattr(crontab, f"_orig_{name}"), numbers) for name, numbers in days.items()}
    day, weekday = fields["day_of_month"], fields["day_of_week"]
    if not day.startswith("*") and not weekday.startswith("*"):
        # Celery wants both to fit, and a cron expression either: unless it is the first, second... such weekday.
        whole = [nth for nth in range(1, 5) if set(range(7 * nth - 6, 7 * nth + 1)) <= days["day_of_month"]]
        if len(days["day_of_month"]) != 7 * len(whole):
            raise ValueError(
                f"day_of_month {day} and day_of_week {weekday} must both fit in Celery; in a cron expression either "
                "will do: schedule it for one of them, and have the task look at the other"
            )
        fields["day_of_month"] = "*"
        names = [FIELDS["day_of_week"][2].split()[one] for one in sorted(days["day_of_week"])]
        fields["day_of_week"] = ",".join(f"{name}#{nth}" for nth in whole for name in names)
    expression = " ".join(fields.values())
    Cron(expression, tz=zone)
    return f"Cron({expression!r}, tz={zone!r}"


def _numbers(name: str, spec: Any) -> set[int]:
    """What a field stands for in Celery, whose names may be long, and whose ranges may go over the end."""
    _, allowed, called = FIELDS[name]
    names = called.split()

    def number(text: str) -> int:
        named = names.index(text) + allowed.start if text in names else -1
        value = int(text) if text.isdecimal() else named
        if value not in allowed:
            raise ValueError(
                f"its {name} {spec!r} is none that Celery takes: {text!r} is none of {allowed[0]}-{allowed[-1]}"
            )
        return value

    found: set[int] = set()
    for part in _text(spec).split(","):
        match = _PART.fullmatch(part)
        if match is None or (match[1] and match[4]) or match[4] == "0":
            raise ValueError(f"its {name} {spec!r} is none that Celery takes")
        values = list(allowed)
        if first := match[1] or match[2]:
            low, high = number(first), number(match[3] or first)
            values = [*range(low, high + 1)] or [*range(low, allowed.stop), *range(allowed.start, high + 1)]
        found.update(values[:: int(match[4] or 1)])
    return found


def _text(spec: Any) -> str:
    if not isinstance(spec, str):
        spec = ",".join(map(str, sorted(spec) if isinstance(spec, Iterable) else [spec]))
    return re.sub("([a-z]{3})[a-z]+", r"\1", str(spec).replace(" ", "").lower())


def _field(name: str, spec: Any, numbers: set[int]) -> str:
    """The field as it was written, if it means the same in a cron expression; else the numbers."""
    called, allowed, _ = FIELDS[name]
    if numbers == set(allowed):
        return "*"
    text = _text(spec)
    try:
        read = CronSim(" ".join(text if one == name else "*" for one in FIELDS), _SOME_DAY)
        same = {value % 7 if called == "weekdays" else value for value in getattr(read, called)} == numbers
    except CronSimError:
        same = False
    return text if same else ",".join(map(str, sorted(numbers)))
