"""`SqliteNotes`, and the statements for notes in the transactions of others: see `durable.engine.notes`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists, rows_of
from steadypool.durable.engine.sqlite.store import Transactions
from steadypool.durable.engine.states import ENDED

_KEEP = """INSERT INTO notes (job, token, saves, state, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE
    SET token = excluded.token, saves = excluded.saves, state = excluded.state, at = excluded.at
    WHERE (notes.token, notes.saves) < (excluded.token, excluded.saves)"""


class SqliteNotes:
    """The notes in one file."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    def save(self, notes: Sequence[Note]) -> frozenset[tuple[int, int]]:
        """See `NoteStore.save`."""
        if not notes:
            return frozenset()
        with self._store.write() as connection:
            jobs = rows_of(connection, [note.number for note in notes])
            leases = as_json(note.lease for note in notes)
            found = connection.execute(f"SELECT number FROM leases WHERE number {AMONG}", (leases,)).fetchall()
            held = {lease for [lease] in found}
            refused = {
                (note.number, note.lease)
                for note in notes
                if note.lease not in held or note.number not in jobs or jobs[note.number].returns != note.token - 1
            }
            keep(connection, [note for note in notes if (note.number, note.lease) not in refused], now_of(connection))
        return frozenset(refused)

    def read(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """See `NoteStore.read`."""
        with self._store.look() as connection:
            found = connection.execute(f"SELECT job, state FROM notes WHERE job {AMONG}", (as_json(numbers),))
            return dict(found.fetchall())


def keep(connection: Any, notes: Iterable[Note], now: float) -> None:
    """Keep these, of claims that hold."""
    rows = [(note.number, note.token, note.saves, note.state, now) for note in notes]
    if rows:
        connection.executemany(_KEEP, rows)


def forget(connection: Any, jobs: Iterable[int]) -> None:
    """These have ended."""
    if exists(connection, "notes"):
        connection.execute(f"DELETE FROM notes WHERE job {AMONG}", (as_json(jobs),))


def with_checkpoint(connection: Any, record: JobRecord) -> JobRecord:
    """The record, with what the job has saved."""
    if record.state in ENDED:
        return record
    for state, at in connection.execute("SELECT state, at FROM notes WHERE job = ?", (record.number,)).fetchall():
        return replace(record, checkpoint=state, saved_at=at)
    return record
