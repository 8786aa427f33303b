"""`Limit`: how many jobs may run at one time, and how many may start in a time. Frozen, and checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Any, Literal

from steadypool.model.checks import as_seconds, check_count, check_seconds

By = str | tuple[str, ...] | Callable[..., object]
"""From what of a call a key is made: a parameter, some of them, or a function of the call's arguments."""
Over = Literal["wait", "discard", "replace"]
OVER = ("wait", "discard", "replace")
MOST = 2**31 - 1
"""The highest number that every store can keep."""


@dataclass(frozen=True)
class Limit:
    """So many jobs at one time, or so many starts in a time: ``Limit("stripe", running=5, starts=100, per=60)``.

    Args:
        name: what it is called. Tasks whose limits have one name share it. A limit without a name is for one task, and
            has that task's name.
        running: how many jobs may run at one time.
        starts: how many may start in *per* seconds. Retries count, too.
        per: that time in seconds; a `timedelta` will do, too.
        burst: how many may start at once after a rest: as many as *starts* by default. ``1`` spaces them evenly.
        by: what the limit is counted for: each value of the parameter of that name, each combination of several
            (``by=("tenant", "region")``), or each value that a function of the call's arguments returns. By default all
            jobs count together.
        over: what becomes of a job that may not start yet: ``"wait"``; ``"discard"``, it ends as cancelled;
            ``"replace"``, it waits, and the one of the same key that waited before ends as cancelled.

    Raises:
        TypeError, ValueError: for an invalid value, naming it.
    """

    name: str | None = None
    _: KW_ONLY
    running: int | None = None
    starts: int | None = None
    per: float | timedelta | None = None
    burst: int | None = None
    by: By | None = None
    over: Over = "wait"

    def __post_init__(self) -> None:
        _check_name(self.name)
        for what in ("running", "starts", "burst"):
            if getattr(self, what) is not None:
                object.__setattr__(self, what, check_count(f"Limit({what})", getattr(self, what), most=MOST))
        object.__setattr__(self, "per", check_seconds("Limit(per)", as_seconds(self.per)))
        self._check_together()
        object.__setattr__(self, "by", check_by("Limit(by)", self.by))
        if self.over not in OVER:
            raise ValueError(f"Limit(over) must be one of {', '.join(map(repr, OVER))}; got {self.over!r}")

    def _check_together(self) -> None:
        if self.running is None and self.starts is None and self.per is None and self.burst is None:
            raise ValueError("Limit needs running, or starts and per, as in Limit('stripe', running=5)")
        if (self.starts is None) != (self.per is None):
            given, missing = ("per", "starts=100") if self.starts is None else ("starts", "per=60")
            name = missing.partition("=")[0]
            raise ValueError(f"Limit({given}={getattr(self, given)!r}) needs {name}, too, such as {missing}")
        if self.per == float("inf"):
            raise ValueError("Limit(per) must be so many seconds, such as 60, not inf")
        if self.burst is not None and self.starts is None:
            raise ValueError(f"Limit(burst={self.burst!r}) is about starts: give starts and per, too")


def _check_name(name: object) -> None:
    if name is not None and not (isinstance(name, str) and name):
        raise TypeError(f"Limit(name) must be a non-empty str such as 'stripe', or None, not {name!r}")


def check_by(what: str, by: object) -> By | None:
    """Return *by*, with names as a tuple, or raise `TypeError` if no key can be made from it."""
    if by is None or (isinstance(by, str) and by) or (callable(by) and not isinstance(by, type)):
        return by
    if isinstance(by, (tuple, list)) and by and all(isinstance(name, str) and name for name in by):
        return tuple(by)
    raise TypeError(
        f"{what} must be the name of a parameter such as 'tenant', a tuple of names, or a function of the call's "
        f"arguments, not {by!r}"
    )


@dataclass(frozen=True)
class FixedLane:
    """One lane for whatever a call's arguments are, as ``options(lane="tenant:42")`` has it."""

    name: str


def check_lane(lane: object) -> By | FixedLane | None:
    """Return the value of the option ``lane``, or raise `TypeError` if it names no lane."""
    return lane if isinstance(lane, FixedLane) else check_by("lane", lane)


def lane_of_options(lane: object) -> By | FixedLane | None:
    """The value of ``lane`` in ``.options(...)``, where a text is the lane itself, and not a parameter's name.

    Raises:
        TypeError: it names no lane.
    """
    return FixedLane(lane) if isinstance(lane, str) and lane else check_lane(lane)


def as_limits(given: object) -> tuple[Limit, ...]:
    """The value of the option ``limit``, as a tuple.

    Raises:
        TypeError: it is neither a `Limit` nor some of them.
    """
    if given is None:
        return ()
    found: Iterable[Any] = given if isinstance(given, (tuple, list)) else (given,)
    for one in found:
        if not isinstance(one, Limit):
            raise TypeError(f"limit must be a Limit such as Limit(running=5), or a list of them, not {one!r}")
    return tuple(found)
