"""What holds the calls of one task back: the gates of its limits, and the lane in which a call waits for its turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from steadypool.model.call_key import CallKey, bounded, call_of, signature_of
from steadypool.model.limit import By, FixedLane, Limit


class Gate(NamedTuple):
    """One limit, for one key. What has the same gate is counted together. They sort by name, then key."""

    name: str
    """The limit's, or its task's."""
    key: str
    """Empty for a limit without ``by``."""


class GatesOfCall(NamedTuple):
    """What one call has to pass."""

    gates: tuple[Gate, ...]
    """In order, so that all who lock several lock them in one order."""
    limits: tuple[Limit, ...]
    """Of each gate, the limit."""
    lane: str
    """Where it waits for its turn; empty for a task without lanes."""


class CallGates:
    """What ``limit=`` and ``lane=`` of one task say of its calls."""

    def __init__(self, fn: Callable[..., Any], task: str, limits: Sequence[Limit], lane: By | FixedLane | None) -> None:
        """Check both against the function.

        Raises:
            TypeError: it has no such parameter.
            ValueError: two limits have one name, or one without a name is another task's, too.
        """
        self.fn = fn
        own_lane = None if isinstance(lane, FixedLane) else lane
        keyed = own_lane is not None or any(limit.by is not None for limit in limits)
        signature = signature_of(fn) if keyed else None
        self._signature = signature
        names = [limit.name or task for limit in limits]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"{task} has {names.count(twice)} limits of the name {twice!r}, and a limit without a name has that of "
                "its task: give each its own, as in Limit('per-tenant', running=3, by='tenant')"
            )
        for limit in limits:
            _check_owner(limit, fn, task)
        made = [
            (name, limit, None if limit.by is None else CallKey("Limit(by)", limit.by, signature, task))
            for name, limit in zip(names, limits, strict=True)
        ]
        self._limits = sorted(made, key=lambda one: one[0])
        self._fixed_lane = bounded(lane.name) if isinstance(lane, FixedLane) else ""
        self._lane = None if own_lane is None else CallKey("lane", own_lane, signature, task)

    @property
    def limits(self) -> tuple[tuple[str, Limit], ...]:
        """The limits with their names, in order."""
        return tuple((name, limit) for name, limit, _ in self._limits)

    def of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> GatesOfCall:
        """What a call with these arguments has to pass.

        Raises:
            TypeError: the function cannot be called with them, or an argument has no text that stays the same.
            Exception: what a function given as ``by`` raises.
        """
        call = call_of(self._signature, args, kwargs)
        gates = tuple(Gate(name, "" if key is None else key.of(call, args, kwargs)) for name, _, key in self._limits)
        lane = self._fixed_lane if self._lane is None else self._lane.of(call, args, kwargs)
        return GatesOfCall(gates, tuple(limit for _, limit, _ in self._limits), lane)


def _check_owner(limit: Limit, fn: Callable[..., Any], task: str) -> None:
    """Have a limit without a name be of one task, whatever that is called elsewhere.

    Raises:
        ValueError: it is of another already. Two tasks would count apart, though they seem to share it.
    """
    if limit.name is not None:
        return
    own = getattr(fn, "__module__", None), getattr(fn, "__qualname__", task)
    owner, place = limit.__dict__.setdefault("_task", (task, own))
    if place != own:
        raise ValueError(
            f"{owner} and {task} have one Limit without a name: to share it, give it one, as in Limit('stripe', ...); "
            "to count apart, make a Limit for each"
        )
