"""`PostgresLimits`: see `durable.engine.limits`. Each call is one function of `sql/0002_limits.sql`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from steadypool.durable.engine.limits import MOST_COUNTED, GateUse, LimitRow, NewLimit
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.turns import Turn
from steadypool.model.queue_depth import LimitCount
from steadypool.rules.limits import Allowance


class PostgresLimits(InSchema):
    """The limits in one schema."""

    def rows(self) -> list[LimitRow]:
        """See `LimitStore.rows`."""
        found = self._select(
            "SELECT name, key, by_hand, running, starts, per, burst, over, app, release FROM @.listed_limits "
            "ORDER BY name, key, by_hand"
        )
        return [
            LimitRow(name, key, by_hand, Allowance(*allowed), over, app, release)
            for name, key, by_hand, *allowed, over, app, release in found
        ]

    def declare(
        self, app: str, release: str | None, names: Collection[str], changed: Sequence[NewLimit], seconds: float
    ) -> None:
        """See `LimitStore.declare`."""
        told = [{"name": new.name, "over": new.over, **new.allowed._asdict()} for new in changed]
        values = [app, release, list(names), json.dumps(told, ensure_ascii=False), seconds]
        self._call("declare_limits(%s::text, %s::text, %s::text[], %s::text, %s::float8)", values)

    def set(self, name: str, key: str, allowed: Allowance) -> None:
        """See `LimitStore.set`."""
        self._call("set_limit(%s::text, %s::text, %s::int, %s::int, %s::float8, %s::int)", [name, key, *allowed])

    def reset(self, name: str, key: str | None) -> bool:
        """See `LimitStore.reset`."""
        [(was_set,)] = self._call("reset_limit(%s::text, %s::text)", [name, key])
        return bool(was_set)

    def counts(self) -> list[LimitCount]:
        """See `LimitStore.counts`."""
        return [LimitCount(*row) for row in self._call("limit_counts(%s)", [MOST_COUNTED])]

    def uses(self, turns: Collection[Turn]) -> Mapping[tuple[str, str], GateUse]:
        """See `LimitStore.uses`."""
        pairs = sorted({pair for turn in turns for pair in turn.pairs})
        if not pairs:
            return {}
        gates, keys = [name for name, _ in pairs], [key for _, key in pairs]
        found = self._call("rooms(%s::text[], %s::text[], 1)", [gates, keys])
        return {
            (name, key): GateUse(Allowance(*allowed), held, room == 0, opens or 0.0)
            for name, key, *allowed, _, held, room, opens, _ in found
        }
