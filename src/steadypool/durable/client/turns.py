"""The limits and the lane of a durable task: where its jobs wait for their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from steadypool.durable.client.options import check_name
from steadypool.durable.client.origin import Origin, here
from steadypool.durable.engine.errors import PayloadRefused
from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.turns import SEPARATOR, Turn, turn_of
from steadypool.model.call_gates import CallGates
from steadypool.model.limit import By, FixedLane, Limit
from steadypool.rules.limits import allowance_of


class TaskTurns:
    """Of one task.

    Raises:
        TypeError, ValueError: it cannot be called with what a limit, or the lane, names.
    """

    def __init__(self, fn: Callable[..., Any], task: str, limits: Sequence[Limit], lane: By | FixedLane | None) -> None:
        self._task = task
        self._lane = lane
        self._gates = CallGates(fn, task, limits, lane)
        self.limits = dict(self._gates.limits)
        """By their names."""
        self._names = frozenset(self.limits)
        self._by = [limit.by for limit in limits if limit.by is not None]
        self._by += [] if lane is None or isinstance(lane, FixedLane) else [lane]
        for name in self.limits:
            check_limit_name(name)

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Turn | None:
        """Where a call waits.

        Raises:
            PayloadRefused: an argument has no text that could be a key.
        """
        try:
            found = self._gates.of(args, kwargs)
        except TypeError as error:
            raise PayloadRefused(str(error)) from None
        # A limit with keys is another gate for an empty text than one without is for all.
        gates = [
            (gate.name, gate.key or '""') if limit.by is not None else gate
            for gate, limit in zip(found.gates, found.limits, strict=True)
        ]
        return turn_of(gates, found.lane or ("" if self._lane is None else '""'))

    @property
    def has_keys(self) -> bool:
        """Whether it depends on a call's arguments where that waits."""
        return bool(self._by)

    def of_gaps(self, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> Turn | None:
        """The same for a call of which the arguments of these names are not known yet.

        Raises:
            PayloadRefused: a key is made from one of them.
        """
        for by in self._by:
            if callable(by) or not set(names).isdisjoint((by,) if isinstance(by, str) else by):
                shown = ", ".join(map(repr, names))
                raise PayloadRefused(
                    f"{self._task} takes turns by {getattr(by, '__qualname__', by)!r}, and {shown} is the result of "
                    "another job, which is not known when this one is put: let it take turns by another argument",
                    argument=names[0],
                )
        return self.of(args, kwargs)

    def are_in(self, turn: Turn | None) -> bool:
        """Whether a job that waited there has passed all of this."""
        if turn is None:
            return not self._names and self._lane is None
        return self._names.issubset(turn.names)


def check_limit_name(name: str) -> None:
    """Raise `ValueError` if no store can keep it."""
    check_name("the name of a limit", name, "stripe")
    if SEPARATOR in name:
        raise ValueError(f"the name of a limit must be one that people can read, not {name!r}")


def check_same(known: Mapping[str, Limit], name: str, limit: Limit, whose: str) -> None:
    """Do nothing, unless another limit of that name says something else.

    Raises:
        ValueError: it does.
    """
    other = known.get(name)
    if other is not None and _as_kept(name, other) != _as_kept(name, limit):
        raise ValueError(
            f"{whose} has {limit!r}, and this queue has a limit {name!r} that says something else, {other!r}: let them "
            "share one, or give one of them another name"
        )


class SharedLimits:
    """Those that `Queue.limit` has made."""

    def __init__(self) -> None:
        self.by_name: dict[str, Limit] = {}
        self._made: dict[str, Origin | None] = {}

    def add(self, limit: Limit, others: Mapping[str, Limit]) -> Limit:
        """Keep one; *others* are those of tasks. A module that runs again replaces what it has made.

        Raises:
            ValueError: no store can keep its name, or another limit of that name says something else.
        """
        name, made = limit.name or "", here()
        check_limit_name(name)
        before = self._made.get(name)
        if made is None or before is None or not made.is_later_run_of(before):
            check_same({**others, **self.by_name}, name, limit, "queue.limit")
        self.by_name[name], self._made[name] = limit, made
        return limit


def kept_as(limits: Iterable[tuple[str, Limit]]) -> list[NewLimit]:
    """The limits as an engine keeps them."""
    return [_as_kept(name, limit) for name, limit in limits]


def _as_kept(name: str, limit: Limit) -> NewLimit:
    return NewLimit(name, allowance_of(limit), limit.over)
