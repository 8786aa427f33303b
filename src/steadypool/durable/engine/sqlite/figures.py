"""`SqliteFigures`: see `durable.engine.figures`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steadypool.durable.engine import pages
from steadypool.durable.engine.figures import Ended, Failure, MinuteRow
from steadypool.durable.engine.records import AttemptError, JobFilter, JobRecord, public_id
from steadypool.durable.engine.sqlite.clock import NOW, now_of
from steadypool.durable.engine.sqlite.rows import BARE_HISTORY, BARE_LIVE, HISTORY, LIVE
from steadypool.durable.engine.sqlite.store import Transactions

SHOWN_BYTES = 500
"""Of the arguments of a job in a list."""
MOST_LATER = 20_000
"""Delayed jobs whose queues are looked at."""
_ADD = """
    INSERT INTO minutes (queue, task, minute, completed, failed, discarded, ran) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (queue, task, minute) DO UPDATE SET completed = completed + excluded.completed,
    failed = failed + excluded.failed, discarded = discarded + excluded.discarded, ran = ran + excluded.ran"""
_LATELY = f"minutes INDEXED BY minutes_by_time WHERE minute > {NOW} - ?"  # else SQLite goes through all in their order
_BY_MINUTE = f"""
    SELECT queue, minute, sum(completed), sum(failed), sum(discarded) FROM {_LATELY}
    GROUP BY queue, minute ORDER BY queue, minute"""
_BY_TASK = f"""
    SELECT queue, task, sum(completed), sum(failed), sum(discarded), sum(ran) FROM {_LATELY}
    GROUP BY queue, task ORDER BY queue, task"""
# A step in an index for each name.
_NAMES = """
    WITH RECURSIVE {table}_names (name) AS (
        SELECT min(queue) FROM {table} WHERE {where}
        UNION ALL SELECT (SELECT min(queue) FROM {table} WHERE {where} AND queue > name)
        FROM {table}_names WHERE name IS NOT NULL LIMIT 1000)
    SELECT name FROM {table}_names WHERE name IS NOT NULL"""
_QUEUES = (
    *(_NAMES.format(table=table, where="1 = 1") for table in ("ready", "gated", "minutes")),
    _NAMES.format(table="history", where="state = 'discarded'"),
    "SELECT name FROM queues WHERE paused",
    f"SELECT DISTINCT j.queue FROM (SELECT number FROM delayed ORDER BY due LIMIT {MOST_LATER}) d "
    "JOIN jobs j ON j.number = d.number",
    "SELECT DISTINCT j.queue FROM leases l, json_each(l.jobs) h "
    "JOIN jobs j ON j.number = json_extract(h.value, '$[0]')",
)
_FAILURES = """
    SELECT e.job, coalesce(j.nonce, h.nonce), coalesce(j.id, h.id), coalesce(j.task, h.task),
    coalesce(j.queue, h.queue), e.attempt, e.outcome, e.type_name, e.message, substr(e.traceback, -2000), e.at,
    e.worker, e.started_at
    FROM (SELECT * FROM errors ORDER BY rowid DESC LIMIT ?) e
    LEFT JOIN jobs j ON j.number = e.job LEFT JOIN history h ON h.number = e.job"""


class SqliteFigures:
    """The figures of one file."""

    def __init__(
        self,
        store: Transactions,
        dialect: Callable[[str, str], pages.Dialect],
        with_details: Callable[[Sequence[JobRecord]], Sequence[JobRecord]],
    ) -> None:
        self._store = store
        self._with_details = with_details
        self._bare = dialect(BARE_LIVE, BARE_HISTORY)
        beginning = f"substr({{}}payload, 1, {SHOWN_BYTES})"
        self._with_arguments = dialect(
            LIVE.replace("j.payload", beginning.format("j.")),
            HISTORY.replace("payload, result", f"{beginning.format('')}, NULL"),
        )

    def add(self, ended: Sequence[Ended]) -> None:
        """See `FigureStore.add`."""
        with self._store.write() as connection:
            minute = now_of(connection) // 60 * 60.0
            connection.executemany(_ADD, [(one.queue, one.task, minute, *one[2:]) for one in ended])

    def by_minute(self, seconds: float) -> list[MinuteRow]:
        """See `FigureStore.by_minute`."""
        with self._store.peek() as connection:
            return [MinuteRow(*row) for row in connection.execute(_BY_MINUTE, (seconds,)).fetchall()]

    def by_task(self, seconds: float) -> list[Ended]:
        """See `FigureStore.by_task`."""
        with self._store.peek() as connection:
            return [Ended(*row) for row in connection.execute(_BY_TASK, (seconds,)).fetchall()]

    def queues(self) -> list[str]:
        """See `FigureStore.queues`."""
        with self._store.look() as connection:
            return sorted({name for look in _QUEUES for [name] in connection.execute(look).fetchall()})

    def failures(self, limit: int) -> list[Failure]:
        """See `FigureStore.failures`."""
        with self._store.peek() as connection:
            rows = connection.execute(_FAILURES, (limit,)).fetchall()
        return [
            Failure(public_id(number, nonce, chosen), task, queue, AttemptError(*error))
            for number, nonce, chosen, task, queue, *error in rows
            if task is not None
        ]

    def page(self, which: JobFilter, most: int, *, arguments: bool = False) -> pages.JobPage:
        """See `FigureStore.page`."""
        found = pages.look(self._with_arguments if arguments else self._bare, which, most)
        return found._replace(records=self._with_details(found.records))

    def count(self, which: JobFilter, most: int) -> tuple[int, bool]:
        """See `FigureStore.count`."""
        return pages.count(self._bare, which, most)
