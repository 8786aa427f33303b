"""`PostgresBatches`: see `durable.engine.batches`. Each call is one function of `sql/0002_batches.sql`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from steadypool.durable.engine.batches import BatchRow, NewBatch, TendedBatches
from steadypool.durable.engine.job_json import kept_as
from steadypool.durable.engine.postgres import caller_connection, rows
from steadypool.durable.engine.postgres.claim import PostgresClaims
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import ENDED, JobState

_COLUMNS = ", ".join(BatchRow._fields)


class PostgresBatches(InSchema):
    """The batches in one schema."""

    def __init__(self, session: Calls, schema: str, claims: PostgresClaims) -> None:
        super().__init__(session, schema)
        self._claims = claims

    def make(self, new: NewBatch) -> int:
        """See `BatchStore.make`."""
        address = self._session.address
        database = None if address.pooled else address.parameters.get("dbname")
        [(number, *_)] = self._call("batch_json(%s::text, %s::text)", [_made(new), database])
        return int(number)

    def make_on(self, connection: Any, new: NewBatch) -> int:
        """See `BatchStore.make_on`."""
        [placed] = caller_connection.run(connection, self._session.address, "batch_json", _made(new))
        return placed.number

    def seal(self, number: int) -> None:
        """See `BatchStore.seal`."""
        self._call("seal_batch(%s)", [number])

    def seal_on(self, connection: Any, number: int) -> None:
        """See `BatchStore.seal_on`."""
        caller_connection.run(connection, self._session.address, "batch_json", json.dumps({"seal": number}))

    def cancel(self, number: int, *, seal: bool) -> bool:
        """See `BatchStore.cancel`."""
        [(was_open,)] = self._call("cancel_batch(%s, %s)", [number, seal])
        return bool(was_open)

    def get(self, number: int) -> BatchRow | None:
        """See `BatchStore.get`."""
        found = self._read("number = %s", [number])
        return found[0] if found else None

    def page(self, limit: int, before: tuple[float, int] | None = None) -> list[BatchRow]:
        """See `BatchStore.page`."""
        order = "ORDER BY made_at DESC, number DESC LIMIT %s"
        if before is None:
            return self._read(f"true {order}", [limit])
        return self._read(f"(made_at, number) < (%s::float8, %s::bigint) {order}", [*before, limit])

    def members(self, number: int, states: Collection[JobState], after: int, limit: int) -> list[JobRecord]:
        """See `BatchStore.members`."""
        wanted = [state.value for state in ENDED & frozenset(states)]
        found: list[JobRecord] = []
        for kind, chosen in (("ended", wanted), ("live", ["live"] if frozenset(states) - ENDED else [])):
            if chosen:
                which = (
                    "number IN (SELECT m.number FROM @.batch_members m WHERE m.batch = %s "
                    "AND m.number > %s AND m.state = ANY (%s::text[]) ORDER BY m.number LIMIT %s)"
                )
                sql = f"SELECT {rows.RECORD} FROM @.{kind} WHERE {which}"
                found += map(rows.record_of, self._select(sql, [number, after, chosen, limit]))
        members = sorted((one for one in found if one.state in states), key=lambda record: record.number)[:limit]
        return self._with_errors(members)

    def of_job(self, number: int) -> int | None:
        """See `BatchStore.of_job`."""
        found = self._select("SELECT batch FROM @.batch_members WHERE number = %s", [number])
        return found[0][0] if found else None

    def tend(self, limit: int) -> TendedBatches:
        """See `BatchStore.tend`."""
        *finished, (_, more) = self._call("tend_batches(%s)", [limit])
        if finished:
            self._claims.look_soon()
        known = [self.get(number) for number, _ in finished]
        return TendedBatches(tuple(row for row in known if row is not None), more)

    def _read(self, which: str, values: Sequence[Any]) -> list[BatchRow]:
        found = self._select(f"SELECT {_COLUMNS} FROM @.listed_batches WHERE {which}", values)
        return [BatchRow(*row) for row in found]


def _made(new: NewBatch) -> str:
    return json.dumps(
        {
            "name": new.name,
            "parent": new.parent,
            "then_job": kept_as(new.then),
            "finally_job": kept_as(new.finally_),
            "on_failure": new.on_failure,
        },
        ensure_ascii=False,
    )
