"""Gates: how many jobs each lets start now, who has a place of it, and when its next start is due.

What `durable.engine.turns` describes, for a store with one writer. Each function works in the transaction of its
connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from steadypool.durable.engine.sqlite.rows import as_json
from steadypool.rules import limits as rules
from steadypool.rules.limits import Allowance

Pair = tuple[str, str]
"""Name and key of a gate."""
_LAYERS = """SELECT running, starts, per, burst, over, by_hand FROM limits
    WHERE name = ? AND (key = '' OR (key = ? AND by_hand)) ORDER BY by_hand, key"""
_READY = """INSERT INTO ready SELECT queue, rank, number FROM jobs
    WHERE number IN (SELECT value FROM json_each(?)) AND gates IS NULL"""
_GATED = """INSERT INTO gated SELECT queue, gates, lane, rank, number FROM jobs
    WHERE number IN (SELECT value FROM json_each(?)) AND gates IS NOT NULL"""
IDLE = 60.0
"""Seconds after which a gate that counts no start any more is forgotten."""


@dataclass(slots=True)
class Gate:
    """One gate as it is in this transaction, and with what has been let through since."""

    allowed: Allowance
    over: str
    held: int
    tat: float | None
    opens_at: float = -inf
    has_started: bool = False

    def is_open(self, now: float) -> bool:
        """Whether a job may start."""
        self.opens_at = rules.opens_at(self.allowed, self.held, self.tat)
        return self.opens_at <= now + 1e-6

    def start(self, now: float) -> None:
        """One does."""
        self.held += 1
        self.tat = rules.after_start(self.allowed, self.tat, now)
        self.has_started = True


def gate_of(connection: Any, pair: Pair) -> Gate | None:
    """The gate; ``None``: nothing limits it."""
    layers = connection.execute(_LAYERS, pair).fetchall()
    if not layers or layers[0][5]:
        return None  # the code does not say anything of it
    allowed = rules.merged(*(Allowance(*layer[:4]) for layer in layers))
    [[held]] = connection.execute("SELECT count(*) FROM holders WHERE gate = ? AND key = ?", pair).fetchall()
    tat = connection.execute("SELECT tat FROM gate_states WHERE gate = ? AND key = ?", pair).fetchall()
    return Gate(allowed, layers[0][4], held, tat[0][0] if tat else None)


def make_available(connection: Any, numbers: Sequence[int]) -> None:
    """These jobs may run now: they stand in their lanes, if they have one."""
    named = as_json(numbers)
    connection.execute(_READY, (named,))
    connection.execute(_GATED, (named,))


def hold(connection: Any, gates: Mapping[Pair, Gate | None], held: Iterable[tuple[Pair, int]]) -> None:
    """Jobs, by their numbers, have a place of each of these gates; starts are counted."""
    connection.executemany("INSERT INTO holders VALUES (?, ?, ?)", [(*pair, number) for pair, number in held])
    started = [
        (*pair, gate.tat)
        for pair, gate in gates.items()
        if gate is not None and gate.has_started and gate.tat is not None
    ]
    connection.executemany("INSERT OR REPLACE INTO gate_states VALUES (?, ?, ?)", started)


def free(connection: Any, numbers: Sequence[int], given_back: Iterable[int]) -> None:
    """The claims of these jobs are over; what was *given back* has not started after all."""
    for number in given_back:
        for pair in connection.execute("SELECT gate, key FROM holders WHERE number = ?", (number,)).fetchall():
            _give_back(connection, pair)
    connection.executemany("DELETE FROM holders WHERE number = ?", [(number,) for number in numbers])


def _give_back(connection: Any, pair: Pair) -> None:
    gate = gate_of(connection, pair)
    if gate is not None:
        tat = rules.after_refund(gate.allowed, gate.tat)
        connection.execute("UPDATE gate_states SET tat = ? WHERE gate = ? AND key = ?", (tat, *pair))


def has_idle(connection: Any, now: float) -> bool:
    """Whether `forget_idle` would find any."""
    found = connection.execute("SELECT EXISTS (SELECT 1 FROM gate_states WHERE tat < ?)", (now - IDLE,))
    return bool(found.fetchall()[0][0])


def forget_idle(connection: Any, now: float) -> None:
    """Forget gates that count no start any more: what they remember says nothing."""
    connection.execute(
        "DELETE FROM gate_states WHERE (gate, key) IN (SELECT gate, key FROM gate_states WHERE tat < ? LIMIT 1000)",
        (now - IDLE,),
    )
