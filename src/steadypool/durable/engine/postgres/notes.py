"""`PostgresNotes`: see `durable.engine.notes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.session import Calls


class PostgresNotes:
    """The notes in one schema."""

    def __init__(self, session: Calls, schema: str) -> None:
        self._session = session
        arrays = "%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %b::bytea[]"
        self._save = f"SELECT {schema}.save_notes({arrays})"
        self._read = f"SELECT job, saved FROM {schema}.saved_notes WHERE job = ANY (%s::bigint[])"

    def save(self, notes: Sequence[Note]) -> frozenset[tuple[int, int]]:
        """See `NoteStore.save`."""
        if not notes:
            return frozenset()
        *numbers, states = zip(*notes, strict=True)
        [(refused,)] = self._session.call(self._save, [*map(rows.bigints, numbers), list(states)])
        return rows.pairs(refused)

    def read(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `NoteStore.read`."""
        return dict(self._session.call(self._read, [rows.bigints(numbers)]))
