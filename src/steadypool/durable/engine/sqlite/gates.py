"""Gates: how many jobs each lets start now, who has a place of it, and when its next start is due.

What `durable.engine.turns` describes, for a store with one writer. Each function works in the transaction of its
connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists
from steadypool.rules import limits as rules
from steadypool.rules.limits import Allowance

Pair = tuple[str, str]
"""Name and key of a gate."""
_READY = f"""INSERT INTO ready SELECT queue, rank, number FROM jobs
    WHERE number {AMONG} AND gates IS NULL"""
_GATED = f"""INSERT INTO gated SELECT queue, gates, lane, rank, number FROM jobs
    WHERE number {AMONG} AND gates IS NOT NULL"""
IDLE = 60.0
"""Seconds after which a gate that counts no start any more is forgotten."""


@dataclass(slots=True)
class Gate:
    """One gate as it is in this transaction."""

    allowed: Allowance
    over: str
    held: int
    tat: float | None
    left: int = 0
    """How many more jobs it lets through in this claim."""
    started: int = 0
    """How many it has let through."""
    is_moved: bool = False
    """Whether its next start was due later than its numbers allow."""

    @property
    def opens_at(self) -> float:
        """The moment from which a job may start, those counted in `held` alone."""
        return rules.opens_at(self.allowed, self.held, self.tat)

    def room(self, now: float, most: int) -> int:
        """How many may start now, *most* at most."""
        if self.allowed.running is not None:
            most = max(0, min(most, self.allowed.running - self.held))
        if self.allowed.starts is None:
            return most
        tat, count = self.tat, 0
        while count < most and rules.opens_at(self.allowed, self.held + count, tat) <= now + rules.A_HAIR:
            tat = rules.after_start(self.allowed, tat, now)
            count += 1
        return count

    def opens_after(self, now: float) -> float:
        """The same, once all that it has let through in this claim have started."""
        return rules.opens_at(self.allowed, self.held + self.started, self.tat_after(now))

    def tat_after(self, now: float) -> float | None:
        """When the next start is due, once those that it has let through have started."""
        tat = self.tat
        for _ in range(self.started if self.allowed.starts is not None else 0):
            tat = rules.after_start(self.allowed, tat, now)
        return tat


class Gates:
    """Those that one transaction looks at: what is kept of a limit is read once for all of its keys."""

    def __init__(self, connection: Any, now: float, most: int = 1) -> None:
        self._connection = connection
        self._now = now
        self._most = most
        self._found: dict[Pair, Gate | None] = {}
        self._limits: dict[str, dict[tuple[str, int], tuple[Allowance, str]]] = {}
        self._held: dict[str, dict[str, int]] = {}

    def of(self, pair: Pair) -> Gate | None:
        """The gate; ``None``: nothing limits it."""
        if pair not in self._found:
            gate = self._found[pair] = self._read(*pair)
            if gate is not None:
                due = rules.no_later(gate.allowed, gate.tat, self._now)
                gate.is_moved, gate.tat = due != gate.tat, due
                gate.left = gate.room(self._now, self._most)
        return self._found[pair]

    def _read(self, name: str, key: str) -> Gate | None:
        layers = self._layers(name)
        code = layers.get(("", 0))
        if code is None:
            return None  # the code says nothing of it
        by_hand = [layers[place][0] for place in (("", 1), (key, 1)) if place in layers]
        allowed = rules.merged(code[0], *by_hand)
        tats = (
            self._all("SELECT tat FROM gate_states WHERE gate = ? AND key = ?", (name, key)) if allowed.starts else ()
        )
        return Gate(allowed, code[1], self._holders(name).get(key, 0), tats[0][0] if tats else None)

    def _layers(self, name: str) -> dict[tuple[str, int], tuple[Allowance, str]]:
        if name not in self._limits:
            rows = self._all(
                "SELECT key, by_hand, running, starts, per, burst, over FROM limits WHERE name = ?", (name,)
            )
            self._limits[name] = {(key, by_hand): (Allowance(*rest[:4]), rest[4]) for key, by_hand, *rest in rows}
        return self._limits[name]

    def _holders(self, name: str) -> dict[str, int]:
        if name not in self._held:
            rows = self._all("SELECT key, count(*) FROM holders WHERE gate = ? GROUP BY key", (name,))
            self._held[name] = dict(rows)
        return self._held[name]

    def _all(self, statement: str, values: tuple[str, ...]) -> Sequence[Any]:
        rows: Sequence[Any] = self._connection.execute(statement, values).fetchall()
        return rows

    @property
    def has_moved(self) -> bool:
        """Whether a gate opens sooner than is written down."""
        return any(gate is not None and gate.is_moved for gate in self._found.values())

    def write_starts(self) -> None:
        """Have the starts count of all that was let through."""
        tats = [
            (*pair, gate.tat_after(self._now))
            for pair, gate in self._found.items()
            if gate is not None and gate.allowed.starts is not None and (gate.started or gate.is_moved)
        ]
        if tats:
            self._connection.executemany("INSERT OR REPLACE INTO gate_states VALUES (?, ?, ?)", tats)


def make_available(connection: Any, numbers: Sequence[int]) -> None:
    """These jobs may run now: they stand in their lanes, if they have one."""
    named = as_json(numbers)
    connection.execute(_READY, (named,))
    connection.execute(_GATED, (named,))


def free(connection: Any, numbers: Sequence[int], given_back: Iterable[int]) -> None:
    """The claims of these jobs are over; what was *given back* has not started after all."""
    for number in given_back:
        for pair in connection.execute("SELECT gate, key FROM holders WHERE number = ?", (number,)).fetchall():
            _give_back(connection, pair)
    connection.executemany("DELETE FROM holders WHERE number = ?", [(number,) for number in numbers])


def _give_back(connection: Any, pair: Pair) -> None:
    gate = Gates(connection, now_of(connection)).of(pair)
    if gate is not None and gate.tat is not None:
        tat = rules.after_refund(gate.allowed, gate.tat)
        connection.execute("UPDATE gate_states SET tat = ? WHERE gate = ? AND key = ?", (tat, *pair))


def has_idle(connection: Any, now: float) -> bool:
    """Whether `forget_idle` would find any."""
    return exists(connection, "gate_states WHERE tat < ?", (now - IDLE,))


def forget_idle(connection: Any, now: float) -> None:
    """Forget gates that count no start any more: what they remember says nothing."""
    connection.execute(
        "DELETE FROM gate_states WHERE (gate, key) IN (SELECT gate, key FROM gate_states WHERE tat < ? LIMIT 1000)",
        (now - IDLE,),
    )
