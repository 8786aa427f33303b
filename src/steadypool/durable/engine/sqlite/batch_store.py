"""`SqliteBatches`: see `durable.engine.batches`."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from steadypool.durable.engine.batches import ITS_BATCH, BatchRow, NewBatch, TendedBatches
from steadypool.durable.engine.nonces import random_number
from steadypool.durable.engine.records import JobRecord, NewJob
from steadypool.durable.engine.sqlite import batches, caller_connection, held, read
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.put import put
from steadypool.durable.engine.sqlite.rows import rows_of
from steadypool.durable.engine.sqlite.settle import remove_waiting
from steadypool.durable.engine.sqlite.store import Transactions
from steadypool.durable.engine.states import ENDED, WAITING, JobState


class SqliteBatches:
    """The batches in one file."""

    def __init__(self, store: Transactions, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    def make(self, new: NewBatch) -> int:
        """See `BatchStore.make`."""
        with self._store.write() as connection:
            return _make(connection, new)

    def make_on(self, connection: Any, new: NewBatch) -> int:
        """See `BatchStore.make_on`."""
        caller_connection.check_connection(connection, self._store.address.driver, self._store.path)
        with caller_connection.transaction(connection):
            return _make(connection, new)

    def seal(self, number: int) -> None:
        """See `BatchStore.seal`."""
        with self._store.write() as connection:
            _put(connection, batches.seal(connection, number, now_of(connection)))
        self._bells.ring("work", "ends")

    def seal_on(self, connection: Any, number: int) -> None:
        """See `BatchStore.seal_on`."""
        caller_connection.check_connection(connection, self._store.address.driver, self._store.path)
        with caller_connection.transaction(connection):
            _put(connection, batches.seal(connection, number, now_of(connection)))

    def cancel(self, number: int, *, seal: bool) -> bool:
        """See `BatchStore.cancel`."""
        with self._store.write() as connection:
            was_open, following = batches.cancel(connection, number, seal, now_of(connection))
            _put(connection, following)
        self._bells.ring("work", "ends")
        return was_open

    def get(self, number: int) -> BatchRow | None:
        """See `BatchStore.get`."""
        found = self._read("number = ?", (number,))
        return found[0] if found else None

    def page(self, limit: int, before: tuple[float, int] | None = None) -> list[BatchRow]:
        """See `BatchStore.page`."""
        which = "(made_at, number) < (?, ?) ORDER BY made_at DESC, number DESC LIMIT ?"
        return self._read(which, (*(before or (1e300, 0)), limit))

    def members(self, number: int, states: Collection[JobState], after: int, limit: int) -> list[JobRecord]:
        """See `BatchStore.members`."""
        ended = json.dumps(sorted(ENDED & frozenset(states)))
        of_batch = "SELECT number FROM {} WHERE batch = ? AND number > ? AND {} ORDER BY number LIMIT ?"
        is_wanted = "state IN (SELECT value FROM json_each(?))"
        with self._store.look() as connection:
            found = connection.execute(of_batch.format("history", is_wanted), (number, after, ended, limit)).fetchall()
            if frozenset(states) - ENDED:
                found += connection.execute(of_batch.format("jobs", "1 = 1"), (number, after, limit)).fetchall()
            chosen = sorted(one for [one] in found)[:limit]
            found = read.ended_jobs(connection, chosen) + read.live_jobs(connection, chosen, now_of(connection))
            records = held.with_errors(connection, [one for one in found if one.state in states])
        return sorted(records, key=lambda record: record.number)

    def of_job(self, number: int) -> int | None:
        """See `BatchStore.of_job`."""
        with self._store.look() as connection:
            found = connection.execute(
                "SELECT batch FROM jobs WHERE number = ? UNION ALL SELECT batch FROM history WHERE number = ?",
                (number, number),
            ).fetchall()
        return found[0][0] if found else None

    def tend(self, limit: int) -> TendedBatches:
        """See `BatchStore.tend`."""
        with self._store.look() as connection:
            if not batches.is_something_left(connection):
                return TendedBatches()
        with self._store.write() as connection:
            now = now_of(connection)
            members = batches.to_cancel(connection, limit, now)
            for number in members:
                _cancel(connection, number, now)
            _put(connection, batches.end_without_members(connection, now))
            finished = batches.take_finished(connection)
        self._bells.ring("work", "ends")
        return TendedBatches(tuple(finished), len(members) == limit)

    def _read(self, which: str, values: tuple[Any, ...]) -> list[BatchRow]:
        with self._store.look() as connection:
            found = connection.execute(f"SELECT {batches.ROW} FROM batches WHERE {which}", values).fetchall()
        return list(map(batches.row_of, found))


def _make(connection: Any, new: NewBatch) -> int:
    number = random_number()
    _put(connection, batches.make(connection, number, new, now_of(connection)))
    return number


def _put(connection: Any, jobs: list[NewJob]) -> None:
    if jobs:
        put(connection, jobs, now_of(connection))


def _cancel(connection: Any, number: int, now: float) -> None:
    record = read.record_of(connection, number, None, now)
    if record is not None and record.state in WAITING:
        remove_waiting(connection, rows_of(connection, [number])[number], JobState.CANCELLED, now, ITS_BATCH)
    elif record is not None:
        connection.execute("INSERT OR IGNORE INTO cancels VALUES (?, ?)", (number, record.nonce))
