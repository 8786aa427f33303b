"""What an engine on PostgreSQL and its parts have in common: a session, and the name of the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine import details
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import JobRecord


class InSchema:
    """What reads and writes one schema: the base of an engine, and of its parts."""

    def __init__(self, session: Calls, schema: str) -> None:
        self._session = session
        self._schema = schema

    def _call(self, function: str, values: Sequence[Any]) -> list[Any]:
        """Call a function of the schema."""
        return self._session.call(f"SELECT * FROM {self._schema}.{function}", values)

    def _select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement in which ``@.`` stands before what is of the schema."""
        return self._session.call(statement.replace("@.", f"{self._schema}."), values)

    def _with_errors(self, records: Sequence[JobRecord]) -> list[JobRecord]:
        """The records of these jobs, each with its errors."""
        found = self._select(
            f"SELECT job, {rows.ERROR} FROM @.job_errors WHERE job = ANY (%s::bigint[]) ORDER BY job, entry",
            [rows.bigints(record.number for record in records)],
        )
        return details.with_errors(records, ((job, rows.error_of(error)) for job, *error in found))
