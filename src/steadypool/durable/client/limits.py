"""`queue.limits`: look at limits, and set them by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from steadypool.durable.client.home import Home
from steadypool.durable.client.task import refuse_on_loop
from steadypool.durable.client.turns import kept_as
from steadypool.durable.engine.errors import UnknownLimit
from steadypool.durable.engine.limits import LimitRow
from steadypool.model.call_key import bounded, text_of
from steadypool.model.checks import as_seconds, check_count, check_seconds
from steadypool.model.limit import MOST, By, Limit, Over
from steadypool.model.queue_depth import LimitCount
from steadypool.rules.limits import Allowance, merged
from steadypool.rules.near_names import listed, near_name

Rows = list[LimitRow]
_NONE_SO_FAR = "there are none so far: a worker declares those of its tasks when it starts"


@dataclass(frozen=True, slots=True)
class LimitInfo:
    """A limit as it holds now: what the code says, and over it what was set by hand."""

    name: str
    key: str | None
    """For what key it was set by hand; ``None``: this is the limit itself."""
    running: int | None
    starts: int | None
    per: float | None
    burst: int | None
    over: str
    """What becomes of jobs that may not start."""
    by_hand: bool
    """Whether something was set by hand: see `in_code`."""
    in_code: Mapping[str, float | None]
    """What the code says: ``running``, ``starts``, ``per``, ``burst``. Empty: no worker has declared it."""
    now_running: int
    """How many of its jobs run, of all keys."""
    now_waiting: int
    """How many available jobs have to pass it, counted up to 10,000 for each set of limits that they share."""


class LimitKeywords(TypedDict, total=False):
    """The values of a `Limit` as keywords, for type checkers."""

    running: int | None
    starts: int | None
    per: float | timedelta | None
    burst: int | None
    by: By | None
    over: Over


class Limits:
    """The limits of one queue. Made by `Queue.limits`."""

    def __init__(self, home: Home, declared: Callable[[], Mapping[str, Limit]]) -> None:
        self._home = home
        self._declared = declared

    def set(
        self,
        name: str,
        *,
        key: object = None,
        running: int | None = None,
        starts: int | None = None,
        per: float | timedelta | None = None,
        burst: int | None = None,
    ) -> None:
        """Set a limit by hand, for the whole fleet: it holds from the next claims on, within two seconds.

        It stays until `reset`, whatever is deployed. What is left out stays as it is.

        Args:
            name: the limit's name; that of a task without its module will do for a limit that has none of its own,
                where it is unique.
            key: for this value of what the limit counts ``by`` alone: ``key=42``. A tuple where it counts by several.
            running: how many jobs may run at one time; 0: none is started any more.
            starts: how many may start in *per* seconds.
            per: that time.
            burst: how many may start at once after a rest.

        Raises:
            UnknownLimit: there is no limit of that name.
            TypeError, ValueError: for an invalid value.
        """
        refuse_on_loop("queue.limits.set", "asyncio.to_thread")
        given = _checked(running, starts, per, burst)
        rows = self._rows()
        known = self._named(name, rows)
        limit = self._declared().get(known)
        if key is not None and limit is not None and limit.by is None:
            raise ValueError(f"limit {known!r} has no keys: it counts all jobs together. Leave key out, or give it by=")
        _check_together(known, merged(*_layers(rows, known, ""), *_layers(rows, known, _key(key)), given))
        self._home.engine.limits.set(known, _key(key), given)

    def reset(self, name: str, *, key: object = None) -> bool:
        """Have what the code says hold again: of the limit and all of its keys, or of one key.

        Returns:
            Whether anything was set by hand.

        Raises:
            UnknownLimit: there is no limit of that name.
        """
        refuse_on_loop("queue.limits.reset", "asyncio.to_thread")
        known = self._named(name, self._rows())
        return self._home.engine.limits.reset(known, None if key is None else _key(key))

    def list(self) -> list[LimitInfo]:
        """Every limit, by name, and every key for which one was set by hand."""
        store = self._home.engine.limits
        rows = self._rows()
        counts = {count.name: count for count in store.counts()}
        names = sorted({(row.name, "") for row in rows} | {(row.name, row.key) for row in rows})
        return [_info(rows, name, key, counts.get(name)) for name, key in names]

    def _rows(self) -> Rows:
        """What is kept, and what the code has that no worker has declared so far."""
        rows = list(self._home.engine.limits.rows())
        known = {row.name for row in rows if not row.by_hand}
        news = kept_as((name, limit) for name, limit in self._declared().items() if name not in known)
        return rows + [LimitRow(new.name, "", False, new.allowed, new.over) for new in news]

    def _named(self, name: object, rows: Rows) -> str:
        if not isinstance(name, str):
            raise TypeError(f"a limit's name is a str such as 'stripe', not {name!r}")
        names = {row.name for row in rows}
        ends = [known for known in names if known == name or known.endswith(f".{name}")]
        if name in names:
            return name
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise UnknownLimit(f"there are {len(ends)} limits {name!r}: {listed(sorted(ends))}; give the whole name")
        near = near_name(name, {*names, *(one.rpartition(".")[2] for one in names)})
        hint = f"did you mean {near!r}?" if near else f"there are {listed(names)}" if names else _NONE_SO_FAR
        raise UnknownLimit(f"there is no limit {name!r}; {hint}")


def _key(value: object) -> str:
    """The text of a key, as a job's own would be."""
    try:
        return "" if value is None else bounded(text_of(value)) or '""'
    except TypeError:
        raise TypeError(
            f"key must be a value of what the limit counts by, such as 42 or 'ann', not {value!r}"
        ) from None


def _checked(running: object, starts: object, per: object, burst: object) -> Allowance:
    if running is None and starts is None and per is None and burst is None:
        raise ValueError("limits.set needs something to set, as in limits.set('stripe', running=2)")
    seconds = check_seconds("per", as_seconds(per))
    if seconds == float("inf"):
        raise ValueError("per must be so many seconds, such as 60, not inf")
    return Allowance(
        None if running is None else check_count("running", running, least=0, most=MOST),
        None if starts is None else check_count("starts", starts, most=MOST),
        seconds,
        None if burst is None else check_count("burst", burst, most=MOST),
    )


def _check_together(name: str, found: Allowance) -> None:
    if (found.starts is None) != (found.per is None):
        what, missing = ("per", "starts") if found.starts is None else ("starts", "per")
        raise ValueError(
            f"{what} of limit {name!r} needs {missing}, too, as in limits.set({name!r}, starts=100, per=60)"
        )
    if found.burst is not None and found.starts is None:
        raise ValueError(f"burst of limit {name!r} is about starts: give starts and per, too")


def _layers(rows: Iterable[LimitRow], name: str, key: str) -> list[Allowance]:
    """What the rows say of the limit itself, or of one key: the code first."""
    found = [row for row in rows if row.name == name and row.key == key]
    return [row.allowed for row in sorted(found, key=lambda row: row.by_hand)]


def _info(rows: Rows, name: str, key: str, count: LimitCount | None) -> LimitInfo:
    code = next((row for row in rows if row.name == name and not row.by_hand), None)
    layers = _layers(rows, name, "") + (_layers(rows, name, key) if key else [])
    return LimitInfo(
        name,
        key or None,
        *merged(*layers),
        over="wait" if code is None else code.over,
        by_hand=any(row.by_hand and row.name == name and row.key == key for row in rows),
        in_code={} if code is None else code.allowed._asdict(),
        now_running=0 if count is None else count.running,
        now_waiting=0 if count is None else count.waiting,
    )
