"""`PostgresLinks`: see `durable.engine.links`."""

from __future__ import annotations

from steadypool.durable.engine.links import Link, Tended, Unmet, records_in_order
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.claim import PostgresClaims
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import JobState


class PostgresLinks(InSchema):
    """The jobs in one schema that wait for others."""

    def __init__(self, session: Calls, schema: str, claims: PostgresClaims) -> None:
        super().__init__(session, schema)
        self._claims = claims

    def before(self, number: int, limit: int) -> list[Link]:
        """See `LinkStore.before`."""
        return self._links(number, limit)

    def inputs(self, number: int) -> list[JobRecord]:
        """See `LinkStore.inputs`."""
        links = self._links(number, None)
        numbers = [rows.bigints(link.number for link in links)]
        found = self._select(f"SELECT {rows.RECORD} FROM @.ended WHERE number = ANY (%s::bigint[])", numbers)
        found += self._select(f"SELECT {rows.RECORD} FROM @.live WHERE number = ANY (%s::bigint[])", numbers)
        records = list(map(rows.record_of, found))
        return records_in_order(links, self._with_errors(records))

    def tend(self, limit: int) -> Tended:
        """See `LinkStore.tend`."""
        *found, last = self._call("tend_edges(%s)", [limit])
        self._claims.look_soon()  # what it has let go has a low number
        unmet = (
            Unmet(job_id, task, queue, needed, JobState(was)) for _, _, job_id, task, queue, needed, was, _ in found
        )
        return Tended(tuple(unmet), last[-1])

    def _links(self, number: int, limit: int | None) -> list[Link]:
        which = "WHERE job = %s ORDER BY place LIMIT %s"
        found = self._select(f"SELECT before, nonce, needs, state FROM @.links {which}", [number, limit])
        return [Link(*row) for row in found]
