"""`SqliteLinks`: see `durable.engine.links`."""

from __future__ import annotations

from typing import Any

from steadypool.durable.engine.links import Link, Tended, Unmet, records_in_order
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.sqlite import change, edges, held, read
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.rows import rows_of
from steadypool.durable.engine.sqlite.settle import remove_waiting
from steadypool.durable.engine.sqlite.store import Transactions
from steadypool.durable.engine.states import JobState


class SqliteLinks:
    """The jobs in one file that wait for others."""

    def __init__(self, store: Transactions, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    def before(self, number: int, limit: int) -> list[Link]:
        """See `LinkStore.before`."""
        with self._store.peek() as connection:
            return _links(connection, number, limit)

    def inputs(self, number: int) -> list[JobRecord]:
        """See `LinkStore.inputs`."""
        with self._store.look() as connection:
            links = _links(connection, number, -1)
            numbers = [link.number for link in links]
            found = read.ended_jobs(connection, numbers) + read.live_jobs(connection, numbers, now_of(connection))
            return records_in_order(links, held.with_errors(connection, found))

    def tend(self, limit: int) -> Tended:
        """See `LinkStore.tend`."""
        with self._store.look() as connection:
            if not edges.is_something_left(connection):
                return Tended()
        with self._store.write() as connection:
            tended = _tend(connection, limit, now_of(connection))
        self._bells.ring("work", "ends")
        return tended


def _links(connection: Any, number: int, limit: int) -> list[Link]:
    found = connection.execute(
        "SELECT before, nonce, needs, state FROM edges WHERE job = ? ORDER BY place LIMIT ?", (number, limit)
    )
    return [Link(*row) for row in found.fetchall()]


def _tend(connection: Any, limit: int, now: float) -> Tended:
    unmet: list[Unmet] = []
    left = limit
    while left > 0 and (found := edges.next_unchecked(connection, left)):
        left -= len(found)
        for number in edges.check_living(connection, found):
            change.revive(connection, number, now)
        gone = set(found) - rows_of(connection, found).keys()
        left -= edges.release(connection, gone, now)
        for number, why in edges.unmet(connection, gone, max(1, left)):
            left -= 1
            if why is not None:
                reason = f"needed {why.needed}, which was {why.state.value}"
                remove_waiting(connection, rows_of(connection, [number])[number], JobState.CANCELLED, now, reason)
                unmet.append(why)
    return Tended(tuple(unmet), left <= 0)
