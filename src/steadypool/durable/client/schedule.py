"""`Cron` and `Every`: when a task's jobs are put on their own. Frozen, and checked when they are made.

Which moments an expression names, `cronsim` knows: it does what Debian's cron does when clocks change.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, wraps
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from steadypool.durable.client.options import check_name
from steadypool.model.checks import as_seconds, check_seconds

MISSED = ("latest", "all", "skip")
OVERLAP = ("allow", "skip", "replace")
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
_MICRO = 1_000_000
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Schedule(ABC):
    """What `Cron` and `Every` have in common.

    Args:
        tz: the zone of the expression, and of ``current_job().scheduled_for``: a name such as ``"Europe/Berlin"``.
        name: what the schedule is called, by which it stays the same over deploys; the task's name by default.
        missed: what becomes of ticks that came while no worker was there: ``"latest"`` puts one job, for the last of
            them, ``"all"`` one for each, ``"skip"`` none.
        within: seconds after which a missed tick is of no use any more. Here and below a `timedelta` will do, too.
        overlap: what to do when the job before has not ended: ``"allow"`` puts the next one beside it, ``"skip"``
            leaves it out, ``"replace"`` cancels the one before.
        jitter: seconds by which jobs are put later at most, always the same for one name, so that a thousand schedules
            of one moment are spread.
        args: arguments for the task, by name.
    """

    _: KW_ONLY
    tz: str = "UTC"
    name: str | None = None
    missed: str = "latest"
    within: float | timedelta = 86_400.0
    overlap: str = "allow"
    jitter: float | timedelta = 0.0
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tz", _zone_name(self.tz))
        if self.name is not None:
            check_name("name", self.name, "nightly")
        for name, value, choices in (("missed", self.missed, MISSED), ("overlap", self.overlap, OVERLAP)):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        for name in ("within", "jitter"):
            object.__setattr__(self, name, as_seconds(getattr(self, name)))
        if check_seconds("jitter", self.jitter, zero=True, none=False) == float("inf"):
            raise ValueError("jitter must be so many seconds, such as 60, not inf")
        if (check_seconds("within", self.within) or 0.0) < 1.0:
            raise ValueError(f"within must be 1 second or more, not {self.within!r}: no job is put sooner")
        if not isinstance(self.args, Mapping):
            raise TypeError(f"args must be the task's arguments by name, such as {{'deep': True}}, not {self.args!r}")
        object.__setattr__(self, "args", dict(self.args))

    @abstractmethod
    def next_after(self, moment: float) -> float | None:
        """The first tick after *moment*, in seconds since the epoch; ``None`` if there is none in 50 years."""

    @abstractmethod
    def _when(self) -> dict[str, Any]:
        """What stands in the definition."""

    def local(self, moment: float) -> datetime:
        """The moment in the schedule's zone."""
        return datetime.fromtimestamp(moment, _zone(self.tz))

    def definition(self) -> str:
        """When, as JSON: the same text for the same schedule, whichever release writes it."""
        rest = {name: getattr(self, name) for name in ("tz", "missed", "within", "overlap", "jitter")}
        return json.dumps({**self._when(), **rest}, sort_keys=True)

    def offset(self, name: str) -> float:
        """Seconds by which jobs of the schedule of that name are put later than its ticks."""
        if not self.jitter:
            return 0.0
        most: float = as_seconds(self.jitter)
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        return float(int(share * most))

    def __str__(self) -> str:
        return f"{self._shown()} {self.tz}"

    def _shown(self) -> str:
        return ", ".join(f"{value}" for value in self._when().values())


@dataclass(frozen=True)
class Cron(Schedule):
    """At the moments of a cron expression: ``Cron("30 2 * * mon-fri", tz="Europe/Berlin")``.

    Args:
        expression: minute, hour, day of the month, month, day of the week; with six fields the first is the second. Or
            ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``.

    Raises:
        TypeError, ValueError: a field is wrong, no such moment ever comes, or there is no such zone.
    """

    expression: str
    expressions: ClassVar[Mapping[str, str]] = NICKNAMES

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_expression(self.expression)
        if self.next_after(_SOME_DAY.timestamp()) is None:
            raise ValueError(f"{self.expression!r} never comes: no day fits day-of-month, month and day-of-week")

    def next_after(self, moment: float) -> float | None:
        """See `Schedule.next_after`."""
        from cronsim import CronSim  # for those who use it

        expression = NICKNAMES.get(self.expression.lower(), self.expression)
        for tick in CronSim(expression, datetime.fromtimestamp(moment, _zone(self.tz))):
            found = tick.timestamp()
            if found > moment:  # in the second run of an hour it may begin with one of the first
                return found
        return None

    def _when(self) -> dict[str, Any]:
        return {"cron": " ".join(self.expression.split())}


@dataclass(frozen=True)
class Every(Schedule):
    """At even intervals, counted from the epoch, so that it does not matter when a worker starts: ``Every(hours=6)``.

    Args:
        seconds, minutes, hours, days: the interval is their sum, a second at least.
        start: a `datetime` with a zone from which it is counted instead; ticks before it count, too.

    Raises:
        TypeError, ValueError: the interval or the start is none.
    """

    _: KW_ONLY
    seconds: float = 0
    minutes: float = 0
    hours: float = 0
    days: float = 0
    start: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {name: getattr(self, name) for name in ("seconds", "minutes", "hours", "days")}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, as in Every(hours=6), not {value!r}")
        try:
            interval = timedelta(**given)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"Every needs an interval, such as hours=6: {error}") from None
        if interval < timedelta(seconds=1):
            raise ValueError(f"Every needs an interval of 1 second or more, such as hours=6, not {interval}")
        if self.start is not None and getattr(self.start, "tzinfo", None) is None:
            raise ValueError(f"start must be a datetime with a time zone, not {self.start!r}")

    @property
    def interval(self) -> timedelta:
        """From one tick to the next."""
        return timedelta(seconds=self.seconds, minutes=self.minutes, hours=self.hours, days=self.days)

    def next_after(self, moment: float) -> float | None:
        """See `Schedule.next_after`."""
        # In whole microseconds: a sum of floats would come out a hair before a tick, and find it again.
        interval, start = self.interval // timedelta(microseconds=1), self._start()
        return (start + ((round(moment * _MICRO) - start) // interval + 1) * interval) / _MICRO

    def _start(self) -> int:
        return 0 if self.start is None else round(self.start.timestamp() * _MICRO)

    def _when(self) -> dict[str, Any]:
        return {"every": self.interval.total_seconds(), "start": self._start() / _MICRO}

    def _shown(self) -> str:
        return f"every {self.interval}"


def _by_name(init: Callable[..., None]) -> Callable[..., None]:
    """The ``__init__`` of `Every`, with an error that says so if the interval is not given by name."""

    @wraps(init)
    def checked(self: Every, *interval: object, **given: Any) -> None:
        if interval:
            shown = ", ".join(map(repr, interval))
            raise TypeError(f"Every takes its interval by name, such as Every(seconds=60), not Every({shown})")
        init(self, **given)

    return checked


Every.__init__ = _by_name(Every.__init__)  # type: ignore[method-assign]


def read_definition(text: str) -> Schedule:
    """The schedule of which this is the `definition`.

    Raises:
        ValueError: another version of Steadypool has written it, and this one cannot read it.
    """
    try:
        given = json.loads(text)
        if "cron" in given:
            return Cron(given.pop("cron"), **given)
        start = datetime.fromtimestamp(given.pop("start"), UTC)
        return Every(seconds=given.pop("every"), start=start, **given)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{text!r} is no definition that this version of Steadypool knows: {error}") from None


def hash_of(definition: str, job: str) -> str:
    """What tells a schedule from what it was before."""
    return hashlib.sha256(f"{definition}\n{job}".encode()).hexdigest()[:32]


def _check_expression(expression: object) -> None:
    from cronsim import CronSim, CronSimError

    if not isinstance(expression, str):
        raise TypeError(f"Cron takes an expression such as '30 2 * * *', not {expression!r}")
    if expression.strip().startswith("@"):
        if expression.lower() not in NICKNAMES:
            raise ValueError(f"there is no {expression!r}, but {', '.join(NICKNAMES)}")
        return
    fields, names = expression.split(), list(_FIELDS)
    try:
        CronSim(expression, _SOME_DAY)
    except CronSimError as error:
        if len(fields) not in (5, 6):
            raise ValueError(
                f"a cron expression has five fields (minute, hour, day-of-month, month, day-of-week), or six with the "
                f"second first; {expression!r} has {len(fields)}"
            ) from None
        name = str(error).removeprefix("Bad ")
        value = fields[names.index(name) - 6] if name in _FIELDS else expression
        raise ValueError(f"{name} {value!r} of {expression!r} does not fit: {_FIELDS.get(name, error)}") from None


def _zone_name(tz: object) -> str:
    name = tz.key if isinstance(tz, ZoneInfo) else "UTC" if tz is UTC else tz
    if not isinstance(name, str):
        raise TypeError(f"tz must be the name of a zone such as 'Europe/Berlin', not {tz!r}")
    try:
        _zone(name)
    except (ValueError, OSError, LookupError):
        hint = "" if _has_zones() else "; this system has no zones at all: pip install tzdata"
        raise ValueError(f"tz: there is no zone {name!r}, but such as 'Europe/Berlin' or 'UTC'{hint}") from None
    return name


@cache
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _has_zones() -> bool:
    try:
        ZoneInfo("Europe/Berlin")
    except LookupError:
        return False
    return True
