"""`PostgresNotes`: see `durable.engine.notes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.in_schema import InSchema


class PostgresNotes(InSchema):
    """The notes in one schema."""

    def save(self, notes: Sequence[Note]) -> frozenset[tuple[int, int]]:
        """See `NoteStore.save`."""
        if not notes:
            return frozenset()
        *numbers, states = zip(*notes, strict=True)
        arrays = "%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %b::bytea[]"
        [(refused,)] = self._call(f"save_notes({arrays})", [*map(rows.bigints, numbers), list(states)])
        return rows.pairs(refused)

    def read(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `NoteStore.read`."""
        return dict(
            self._select("SELECT job, saved FROM @.saved_notes WHERE job = ANY (%s::bigint[])", [rows.bigints(numbers)])
        )
