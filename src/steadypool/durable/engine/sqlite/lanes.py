"""Claims from lanes, as `durable.engine.turns` describes them: what would be taken is looked up first, then taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any

from steadypool.durable.engine.nonces import random_number
from steadypool.durable.engine.records import Claim
from steadypool.durable.engine.sqlite import claim as claims
from steadypool.durable.engine.sqlite.claim import Wanted
from steadypool.durable.engine.sqlite.gates import Gate, Gates
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists, rows_of
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
    AND (? OR j.task NOT {AMONG}) ORDER BY r.rank, r.number LIMIT ?"""
_TAKEN = "DELETE FROM gated WHERE queue = ? AND gates = ? AND lane = ? AND rank = ? AND number = ?"
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
    gates: Gates
    rows: list[tuple[str, Turn, Any]] = field(default_factory=list)
    """Queue, turn and row of each job to take, in order."""
    gives_way: list[tuple[str, Turn, str, str]] = field(default_factory=list)
    """Lanes in which jobs are not to wait: queue, turn, the limit, and its ``over``."""
    stops: dict[str, str] = field(default_factory=dict)
    look_in: float | None = None
    """Seconds until it is worth to look again."""
    lanes_left: int = LANES_AT_ONCE

    @property
    def left(self) -> int:
        """How many more it may take."""
        return self.most - len(self.rows) if self.most_bytes > 0 else 0

    @property
    def finds(self) -> bool:
        """Whether there is something to do."""
        return bool(self.rows or self.gives_way or self.gates.has_moved)

    def wait(self, seconds: float) -> None:
        """Something may start then."""
        if seconds < inf:
            self.look_in = max(0.0, seconds if self.look_in is None else min(seconds, self.look_in))


def is_any(connection: Any) -> bool:
    """Whether any job stands in a lane."""
    return exists(connection, "gated")


def look(connection: Any, wanted: Wanted, stops: Mapping[str, str], count: int, now: float) -> Look:
    """What a claim takes from lanes: behind these *stops*; *count* says with which set of gates it begins."""
    found = Look(now, wanted.limit, wanted.most_bytes, Gates(connection, now, wanted.limit))
    for queue in claims.open_ones(connection, wanted.queues):
        sets = list(_steps(connection, _SETS, (queue,), ""))
        if exists(connection, "gated WHERE queue = ? AND gates = ''", (queue,)):
            sets.append("")
        for place in range(len(sets)):
            if found.left <= 0 or found.lanes_left <= 0:
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
        """Take jobs in rounds, which begin behind the lane *stop*: one of each, and several once all had theirs."""
        found, begin = self._found, stop
        ring, is_first, in_round = self._ring(begin), True, 0
        while found.left > 0 and found.lanes_left > 0 and not self._is_closed:
            most = min(found.left, found.lanes_left)
            lanes = list(islice(ring, most))
            found.lanes_left -= len(lanes)
            if lanes:
                is_all = is_first and len(lanes) < most
                taken = self._deal(lanes, -(-found.left // len(lanes)) if is_all else 1)
                stop = taken[-1] if taken else stop
                in_round += len(taken)
                is_first = False
            if len(lanes) < most:
                if in_round == 0:
                    break
                ring, is_first, in_round = self._ring(begin), True, 0
        if found.left > 0 and found.lanes_left <= 0:
            found.wait(GATE_BUSY)  # there may be more lanes
            stop = lanes[-1] if lanes else stop
        found.stops[set_of(self._queue, self._names)] = stop

    def _ring(self, begin: str) -> Iterator[str]:
        """The lanes behind one, round to it."""
        values = (self._queue, self._names)
        yield from _steps(self._connection, _LANES, values, begin)
        for lane in _steps(self._connection, _LANES, values, "") if begin else ():
            if lane > begin:
                return
            yield lane

    def _deal(self, lanes: Sequence[str], each: int) -> list[str]:
        """Take so many of each lane, in turn; of which lanes it was."""
        found, dealt = self._found, list[str]()
        open_lanes: list[tuple[Turn, list[Gate], Iterator[Any]]] = []
        for lane in lanes:
            turn = Turn(self._names, lane)
            own = self._gates_of(turn)
            if self._is_closed:
                break
            if own is not None:
                open_lanes.append((turn, own, iter(self._rows(turn, each))))
        for _ in range(each):
            for turn, own, rows in open_lanes:
                if found.left <= 0:
                    return dealt
                if all(gate.left > 0 for gate in own) and (row := next(rows, None)) is not None:
                    self._take(turn, own, row)
                    dealt.append(turn.lane)
        return dealt

    def _take(self, turn: Turn, own: Sequence[Gate], row: Any) -> None:
        for gate in own:
            gate.left -= 1
            gate.started += 1
        self._found.rows.append((self._queue, turn, row))
        self._found.most_bytes -= len(row[claims.PAYLOAD])
        self._last[turn.lane] = row[0], row[1]

    def _rows(self, turn: Turn, count: int) -> Sequence[Any]:
        others = self._wanted.others_than
        after = self._last.get(turn.lane, _BEFORE_ALL)
        values = (self._queue, *turn, *after, not others, as_json(others), count)
        rows: Sequence[Any] = self._connection.execute(_FIRST, values).fetchall()
        return rows

    def _gates_of(self, turn: Turn) -> list[Gate] | None:
        """What limits a lane; ``None``: one of these gates is closed, and what follows from that is done."""
        found = self._found
        own = [(pair, gate) for pair in turn.pairs if (gate := found.gates.of(pair)) is not None]
        full = [(pair, gate) for pair, gate in own if gate.left <= 0]
        if not full:
            return [gate for _, gate in own]
        for (_, key), gate in full:
            found.wait(gate.opens_after(found.now) - found.now)
            self._is_closed = self._is_closed or (key == "" and gate.over == "wait")
        strict = min(((gate.over, name) for (name, _), gate in full if gate.over != "wait"), default=None)
        if strict is not None and self._has_to_give_way(turn, strict[0]):
            found.gives_way.append((self._queue, turn, strict[1], strict[0]))
        return None

    def _has_to_give_way(self, turn: Turn, over: str) -> bool:
        # Those of the lane that are taken by now are still there.
        after = self._last.get(turn.lane, _BEFORE_ALL)
        [[count]] = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM gated WHERE queue = ? AND gates = ? AND lane = ? "
            "AND (rank, number) > (?, ?) LIMIT 2)",
            (self._queue, *turn, *after),
        ).fetchall()
        return bool(count > (over == "replace"))


def claim(connection: Any, worker: int, found: Look) -> list[Claim]:
    """Do what was found in this transaction."""
    lease = random_number()
    connection.executemany(_TAKEN, [(queue, *turn, row[0], row[1]) for queue, turn, row in found.rows])
    pairs = {turn: turn.pairs for turn in {turn for _, turn, _ in found.rows}}
    held = [(*pair, row[1]) for _, turn, row in found.rows for pair in pairs[turn]]
    connection.executemany("INSERT INTO holders VALUES (?, ?, ?)", held)
    found.gates.write_starts()
    _give_way(connection, found)
    taken = [claims.claims_of(queue, [row], lease, found.now, turn)[0] for queue, turn, row in found.rows]
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
