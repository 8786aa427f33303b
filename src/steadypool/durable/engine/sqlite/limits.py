"""`SqliteLimits`: see `durable.engine.limits`. Each method is one transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from steadypool.durable.engine.limits import MOST_COUNTED, GateUse, LimitRow, NewLimit
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.gates import Gates
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.rows import exists
from steadypool.durable.engine.sqlite.store import Transactions
from steadypool.durable.engine.turns import Turn
from steadypool.model.queue_depth import LimitCount
from steadypool.rules.limits import Allowance

_DECLARED = (
    "INSERT OR REPLACE INTO limits (name, key, by_hand, running, starts, per, burst, over, app, release, seen_at) "
    "VALUES (?, '', 0, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SET = (
    "INSERT INTO limits (name, key, by_hand, running, starts, per, burst, seen_at) VALUES (?, ?, 1, ?, ?, ?, ?, ?) "
    "ON CONFLICT (name, key, by_hand) DO UPDATE SET running = coalesce(excluded.running, running), "
    "starts = coalesce(excluded.starts, starts), per = coalesce(excluded.per, per), "
    "burst = coalesce(excluded.burst, burst), seen_at = excluded.seen_at"
)
_MINE = "NOT by_hand AND name IN (SELECT value FROM json_each(?)) AND seen_at < ?"
_GONE = "NOT by_hand AND app = ? AND name NOT IN (SELECT value FROM json_each(?)) AND seen_at < ?"


class SqliteLimits:
    """The limits in one file."""

    def __init__(self, store: Transactions, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    def rows(self) -> list[LimitRow]:
        """See `LimitStore.rows`."""
        with self._store.peek() as connection:
            found = connection.execute(
                "SELECT name, key, by_hand, running, starts, per, burst, over, app, release FROM limits "
                "ORDER BY name, key, by_hand"
            ).fetchall()
        return [
            LimitRow(name, key, bool(by_hand), Allowance(*allowed), over, app, release)
            for name, key, by_hand, *allowed, over, app, release in found
        ]

    def declare(
        self, app: str, release: str | None, names: Collection[str], changed: Sequence[NewLimit], seconds: float
    ) -> None:
        """See `LimitStore.declare`."""
        named = json.dumps(list(names))
        with self._store.look() as connection:
            now = now_of(connection)
            mine = (named, now - seconds / 3)
            gone = (app, named, now - seconds)
            is_due = exists(connection, f"limits WHERE {_MINE}", mine) or exists(
                connection, f"limits WHERE {_GONE}", gone
            )
        if not is_due and not changed:
            return
        with self._store.write() as connection:
            values = [(new.name, *new.allowed, new.over, app, release, now) for new in changed]
            connection.executemany(_DECLARED, values)
            connection.execute(f"UPDATE limits SET seen_at = ? WHERE {_MINE}", (now, *mine))
            connection.execute(f"DELETE FROM limits WHERE {_GONE}", gone)
        self._bells.ring("work")

    def set(self, name: str, key: str, allowed: Allowance) -> None:
        """See `LimitStore.set`."""
        with self._store.write() as connection:
            connection.execute(_SET, (name, key, *allowed, now_of(connection)))
        self._bells.ring("work")

    def reset(self, name: str, key: str | None) -> bool:
        """See `LimitStore.reset`."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM limits WHERE name = ? AND by_hand AND key = coalesce(?, key)", (name, key))
            [[count]] = connection.execute("SELECT changes()").fetchall()
        self._bells.ring("work")
        return bool(count)

    def counts(self) -> list[LimitCount]:
        """See `LimitStore.counts`."""
        with self._store.peek() as connection:
            declared = connection.execute("SELECT name FROM limits WHERE NOT by_hand").fetchall()
            running = dict(connection.execute("SELECT gate, count(*) FROM holders GROUP BY gate").fetchall())
            waiting = _waiting(connection)
        names = sorted({name for [name] in declared} | running.keys() | waiting.keys())
        return [LimitCount(name, running.get(name, 0), waiting[name]) for name in names]

    def uses(self, turns: Collection[Turn]) -> Mapping[tuple[str, str], GateUse]:
        """See `LimitStore.uses`."""
        with self._store.peek() as connection:
            now = now_of(connection)
            gates = Gates(connection, now)
            found = {pair: gates.of(pair) for turn in turns for pair in turn.pairs}
        return {
            pair: GateUse(gate.allowed, gate.held, gate.left == 0, max(0.0, gate.opens_at - now))
            for pair, gate in found.items()
            if gate is not None
        }


def _waiting(connection: Any) -> Counter[str]:
    waiting: Counter[str] = Counter()
    found = [("", "")]
    while found := connection.execute(
        "SELECT queue, gates FROM gated WHERE (queue, gates) > (?, ?) ORDER BY queue, gates LIMIT 1", found[0]
    ).fetchall():
        [[count]] = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM gated WHERE queue = ? AND gates = ? LIMIT ?)",
            (*found[0], MOST_COUNTED),
        ).fetchall()
        for name in Turn(found[0][1], "").names:
            waiting[name] += count
    return waiting
