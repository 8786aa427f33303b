"""What every engine keeps of limits, and by which calls: a part of the seam of `durable.engine.protocol`.

How jobs are held back by them is in `durable.engine.turns`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.turns import Turn
from steadypool.model.queue_depth import LimitCount
from steadypool.rules.limits import Allowance, why_held

MOST_COUNTED = 10_000
"""Jobs of a set of gates that `LimitStore.counts` counts at most."""


class NewLimit(NamedTuple):
    """A limit as a program declares it."""

    name: str
    allowed: Allowance
    over: str


class LimitRow(NamedTuple):
    """What the code says of a limit, or what was set by hand for it, or for one of its keys."""

    name: str
    key: str
    """Empty: the limit's own."""
    by_hand: bool
    allowed: Allowance
    over: str
    app: str | None = None
    """The program that declares it, and its release."""
    release: str | None = None


class GateUse(NamedTuple):
    """One gate as it is now."""

    allowed: Allowance
    held: int
    """Jobs that run; counted no further than may run."""
    is_closed: bool
    wait: float
    """Seconds until it opens by its rate."""


class LimitStore(Protocol):
    """The limits of one store. Each call is one transaction, and raises what those of `Engine` do."""

    def rows(self) -> Sequence[LimitRow]:
        """Everything that holds, by name and key."""

    def declare(
        self, app: str, release: str | None, names: Collection[str], changed: Sequence[NewLimit], seconds: float
    ) -> None:
        """A live worker of *app* declares these. Write down what has *changed*, and forget what no worker of it has
        declared for *seconds*: it holds nothing back any more. Writes once in a third of that time, if nothing changes.
        """

    def set(self, name: str, key: str, allowed: Allowance) -> None:
        """By hand; what is ``None`` stays as it was set before, or as the code says. Notifies listeners for work."""

    def reset(self, name: str, key: str | None) -> bool:
        """Forget what was set by hand, of one key, or of the limit and all of its keys (``None``); whether there was
        anything. Likewise."""

    def counts(self) -> Sequence[LimitCount]:
        """Of each limit that is declared, or that jobs have: how many run and wait. For metrics: some milliseconds."""

    def uses(self, turns: Collection[Turn]) -> Mapping[tuple[str, str], GateUse]:
        """The gates of these turns that are limited."""


def with_holders(store: LimitStore, records: Sequence[JobRecord]) -> list[JobRecord]:
    """The records; those that are available with what holds them back."""
    turns = {record.turn for record in records if record.turn is not None and record.state is JobState.AVAILABLE}
    if not turns:
        return list(records)
    uses = store.uses(turns)
    return [
        replace(record, held_by=_held_by(record.turn, uses)) if record.state is JobState.AVAILABLE else record
        for record in records
    ]


def _held_by(turn: Turn | None, uses: Mapping[tuple[str, str], GateUse]) -> str:
    """What holds a job back, in words; empty: it is only not its turn yet."""
    return "; ".join(_reasons(turn, uses))


def _reasons(turn: Turn | None, uses: Mapping[tuple[str, str], GateUse]) -> Iterable[str]:
    for name, key in () if turn is None else turn.pairs:
        use = uses.get((name, key))
        if use is not None and use.is_closed:
            yield why_held(name, key, use.allowed, use.held, use.wait)
