"""Claims from lanes, as `durable.engine.turns` describes them: what would be taken is looked up first, then taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from steadypool.durable.engine.nonces import random_number
from steadypool.durable.engine.records import Claim
from steadypool.durable.engine.sqlite import claim as claims
from steadypool.durable.engine.sqlite import gates
from steadypool.durable.engine.sqlite.claim import Wanted
from steadypool.durable.engine.sqlite.gates import Gate, Pair
from steadypool.durable.engine.sqlite.rows import as_names, rows_of
from steadypool.durable.engine.sqlite.settle import remove_waiting
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.turns import (
    GATE_BUSY,
    LANES_AT_ONCE,
    REPLACED,
    TURNED_AWAY,
    Turn,
    set_of,
)

_FIRST = f"""SELECT {claims.COLUMNS} FROM gated r JOIN jobs j ON j.number = r.number
    WHERE r.queue = ? AND r.gates = ? AND r.lane = ? AND (r.rank, r.number) > (?, ?)
    AND (? OR j.task NOT IN (SELECT value FROM json_each(?))) ORDER BY r.rank, r.number LIMIT ?"""
_LANES = "SELECT lane FROM gated WHERE queue = ? AND gates = ? AND lane > ? ORDER BY lane LIMIT 1"
_SETS = "SELECT gates FROM gated WHERE queue = ? AND gates > ? ORDER BY gates LIMIT 1"
_BEFORE_ALL = (-(2**63), 0)
MOST_GIVE_WAY = 200
"""Jobs of a lane that give way in one transaction."""


@dataclass(slots=True)
class Look:
    """What a claim would take, and what it has learnt."""

    now: float
    most: int
    most_bytes: int
    rows: list[tuple[str, Turn, Any]] = field(default_factory=list)
    """Queue, turn and row of each job to take, in order."""
    gates: dict[Pair, Gate | None] = field(default_factory=dict)
    gives_way: list[tuple[str, Turn, str, str]] = field(default_factory=list)
    """Lanes in which jobs are not to wait: queue, turn, the limit, and its ``over``."""
    stops: dict[str, str] = field(default_factory=dict)
    look_in: float | None = None
    """Seconds until it is worth to look again."""
    lanes_left: int = LANES_AT_ONCE

    @property
    def is_full(self) -> bool:
        """Whether it takes, or has seen, as much as it may."""
        return len(self.rows) >= self.most or self.most_bytes <= 0 or self.lanes_left <= 0

    @property
    def finds(self) -> bool:
        """Whether there is something to do."""
        return bool(self.rows or self.gives_way)

    def wait(self, seconds: float) -> None:
        """Something may start then."""
        if seconds < inf:
            self.look_in = max(0.0, seconds if self.look_in is None else min(seconds, self.look_in))


def is_any(connection: Any) -> bool:
    """Whether any job stands in a lane."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM gated)").fetchall()[0][0])


def look(connection: Any, wanted: Wanted, stops: Mapping[str, str], count: int, now: float) -> Look:
    """What a claim takes from lanes: behind these *stops*; *count* says with which set of gates it begins."""
    found = Look(now, wanted.limit, wanted.most_bytes)
    for queue in claims.open_ones(connection, wanted.queues):
        sets = list(_steps(connection, _SETS, (queue,), ""))
        if connection.execute("SELECT 1 FROM gated WHERE queue = ? AND gates = '' LIMIT 1", (queue,)).fetchall():
            sets.append("")
        for place in range(len(sets)):
            if found.is_full:
                return found
            names = sets[(place + count) % len(sets)]
            _Set(connection, wanted, queue, names, found).take(stops.get(set_of(queue, names), ""))
    return found


def _steps(connection: Any, statement: str, values: tuple[str, ...], after: str) -> Iterator[str]:
    """Each value behind one: a step in the index for each."""
    while found := connection.execute(statement, (*values, after)).fetchall():
        [[after]] = found
        yield after


class _Set:
    """The lanes of one set of gates in one queue."""

    def __init__(self, connection: Any, wanted: Wanted, queue: str, names: str, found: Look) -> None:
        self._connection = connection
        self._wanted = wanted
        self._queue = queue
        self._names = names
        self._found = found
        self._last: dict[str, tuple[int, int]] = {}
        """Of each lane, the job that was taken last."""
        self._is_closed = False
        """A gate is closed that all lanes have."""

    def take(self, stop: str) -> None:
        """Take jobs in rounds, which begin behind the lane *stop*: one of each lane, then several."""
        found, each = self._found, 1
        first = stop
        while True:
            before, lanes = len(found.rows), 0
            for lane in self._lanes(first):
                found.lanes_left -= 1
                taken = self._take_from(Turn(self._names, lane), each)
                lanes += taken > 0
                stop = lane if taken or found.lanes_left <= 0 else stop
                if found.is_full or self._is_closed:
                    break
            if found.lanes_left <= 0 and len(found.rows) < found.most:
                found.wait(GATE_BUSY)  # there may be more lanes
            if len(found.rows) == before or found.is_full or self._is_closed:
                break
            each = -(-(found.most - len(found.rows)) // lanes)
        found.stops[set_of(self._queue, self._names)] = stop

    def _lanes(self, first: str) -> Iterator[str]:
        values = (self._queue, self._names)
        yield from _steps(self._connection, _LANES, values, first)
        for lane in _steps(self._connection, _LANES, values, "") if first else ():
            if lane > first:
                return
            yield lane

    def _take_from(self, turn: Turn, each: int) -> int:
        """Take up to so many of a lane; how many."""
        found = self._found
        taken = 0
        if not self._lets_through(turn):
            return 0
        wanted = min(each, found.most - len(found.rows))
        for row in self._rows(turn, wanted):
            if found.most_bytes <= 0 or not self._lets_through(turn):
                break
            for pair in turn.pairs:
                if (gate := found.gates[pair]) is not None:
                    gate.start(found.now)
            found.rows.append((self._queue, turn, row))
            found.most_bytes -= len(row[claims.PAYLOAD])
            self._last[turn.lane] = row[0], row[1]
            taken += 1
        return taken

    def _rows(self, turn: Turn, count: int) -> Sequence[Any]:
        others = self._wanted.others_than
        values = (
            self._queue,
            *turn,
            *self._last.get(turn.lane, _BEFORE_ALL),
            not others,
            as_names(others),
            count,
        )
        rows: Sequence[Any] = self._connection.execute(_FIRST, values).fetchall()
        return rows

    def _lets_through(self, turn: Turn) -> bool:
        """Whether all gates of a lane are open; what follows if one is not."""
        found, full = self._found, []
        for pair in turn.pairs:
            if pair not in found.gates:
                found.gates[pair] = gates.gate_of(self._connection, pair)
            gate = found.gates[pair]
            if gate is not None and not gate.is_open(found.now):
                full.append((pair, gate))
        for (_, key), gate in full:
            found.wait(gate.opens_at - found.now)
            self._is_closed = self._is_closed or (key == "" and gate.over == "wait")
        strict = min(((gate.over, name) for (name, _), gate in full if gate.over != "wait"), default=None)
        if strict is not None and self._has_to_give_way(turn, strict[0]):
            found.gives_way.append((self._queue, turn, strict[1], strict[0]))
        return not full

    def _has_to_give_way(self, turn: Turn, over: str) -> bool:
        # Those of the lane that are taken by now are still there.
        stay = self._last.get(turn.lane, _BEFORE_ALL)
        [[count]] = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM gated WHERE queue = ? AND gates = ? AND lane = ? "
            "AND (rank, number) > (?, ?) LIMIT 2)",
            (self._queue, *turn, *stay),
        ).fetchall()
        return bool(count > (over == "replace"))


def claim(connection: Any, worker: int, found: Look) -> list[Claim]:
    """Do what was found in this transaction."""
    lease = random_number()
    numbers = [row[1] for _, _, row in found.rows]
    connection.executemany("DELETE FROM gated WHERE number = ?", [(number,) for number in numbers])
    held = [(pair, number) for (_, turn, _), number in zip(found.rows, numbers, strict=True) for pair in turn.pairs]
    gates.hold(connection, found.gates, held)
    _give_way(connection, found)
    taken = [claims.claims_of(queue, [row], lease, found.now)[0]._replace(turn=turn) for queue, turn, row in found.rows]
    if taken:
        claims.add_lease(connection, worker, lease, taken, found.now)
    return taken


def _give_way(connection: Any, found: Look) -> None:
    """Those end as cancelled that a closed gate does not have wait: of a lane all, or all but the latest."""
    for queue, turn, name, over in dict.fromkeys(found.gives_way):
        stays, reason = (1, REPLACED) if over == "replace" else (0, TURNED_AWAY)
        which = (queue, *turn, MOST_GIVE_WAY, stays)
        rows = connection.execute(
            "SELECT number FROM gated WHERE queue = ? AND gates = ? AND lane = ? ORDER BY number DESC LIMIT ? OFFSET ?",
            which,
        ).fetchall()
        for row in rows_of(connection, [number for [number] in rows]).values():
            remove_waiting(connection, row, JobState.CANCELLED, found.now, reason % name)
