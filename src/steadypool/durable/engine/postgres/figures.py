"""`PostgresFigures`: see `durable.engine.figures`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steadypool.durable.engine import pages
from steadypool.durable.engine.figures import Ended, Failure, MinuteRow
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import JobFilter, JobRecord
from steadypool.model.queue_depth import MOST_COUNTED

SHOWN_BYTES = 500
"""Of the arguments of a job in a list."""
_SINCE = "minute > @.statement_clock() - %s::float8 * interval '1 second'"
_BY_MINUTE = (
    "SELECT queue, extract(epoch FROM minute)::float8, sum(completed)::bigint, sum(failed)::bigint, "
    f"sum(discarded)::bigint FROM @.minute_counts WHERE {_SINCE} GROUP BY queue, minute ORDER BY queue, minute"
)
_BY_TASK = (
    "SELECT queue, task, sum(completed)::bigint, sum(failed)::bigint, sum(discarded)::bigint, sum(ran)::float8 "
    f"FROM @.minute_counts WHERE {_SINCE} GROUP BY queue, task ORDER BY queue, task"
)
_FAILURES = f"""
    SELECT coalesce(j.id, h.id), coalesce(j.task, h.task), coalesce(j.queue, h.queue), e.*
    FROM (SELECT job, {rows.ERROR.replace("traceback", "right(traceback, 2000)")} FROM @.job_errors
          ORDER BY at DESC, entry DESC LIMIT %s) e
    LEFT JOIN @.listed_jobs j ON j.number = e.job LEFT JOIN @.ended h ON h.number = e.job
    ORDER BY e.at DESC"""


class PostgresFigures(InSchema):
    """The figures in one schema."""

    def __init__(
        self,
        session: Calls,
        schema: str,
        dialect: Callable[[str], pages.Dialect],
        with_details: Callable[[Sequence[JobRecord]], Sequence[JobRecord]],
    ) -> None:
        super().__init__(session, schema)
        self._bare = dialect(rows.BARE_RECORD)
        beginning = f"substr(payload, 1, {SHOWN_BYTES}), NULL::bytea"
        self._with_arguments = dialect(rows.RECORD.replace("payload, result", beginning))
        self._with_details = with_details

    def add(self, ended: Sequence[Ended]) -> None:
        """See `FigureStore.add`."""
        columns = [list(column) for column in zip(*ended, strict=True)]
        kinds = "%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[]"
        self._call(f"add_to_minute({kinds})", columns)

    def by_minute(self, seconds: float) -> list[MinuteRow]:
        """See `FigureStore.by_minute`."""
        return [MinuteRow(*row) for row in self._select(_BY_MINUTE, [seconds])]

    def by_task(self, seconds: float) -> list[Ended]:
        """See `FigureStore.by_task`."""
        return [Ended(*row) for row in self._select(_BY_TASK, [seconds])]

    def queues(self) -> list[str]:
        """See `FigureStore.queues`."""
        return [name for (name,) in self._select("SELECT name FROM @.queue_names(%s) ORDER BY name", [MOST_COUNTED])]

    def failures(self, limit: int) -> list[Failure]:
        """See `FigureStore.failures`."""
        return [
            Failure(job_id, task, queue, rows.error_of(error))
            for job_id, task, queue, _, *error in self._select(_FAILURES, [limit])
            if task is not None
        ]

    def page(self, which: JobFilter, most: int, *, arguments: bool = False) -> pages.JobPage:
        """See `FigureStore.page`."""
        found = pages.look(self._with_arguments if arguments else self._bare, which, most)
        return found._replace(records=self._with_details(found.records))

    def count(self, which: JobFilter, most: int) -> tuple[int, bool]:
        """See `FigureStore.count`."""
        return pages.count(self._bare, which, most)
