"""Why the attempts of jobs have failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import AttemptError, JobRecord


def with_errors(session: Calls, schema: str, records: Sequence[JobRecord]) -> list[JobRecord]:
    """The records of these jobs, each with its errors."""
    errors = defaultdict[int, list[AttemptError]](list)
    for job, *error in session.call(
        f"SELECT job, {rows.ERROR} FROM {schema}.job_errors WHERE job = ANY (%s::bigint[]) ORDER BY job, entry",
        [rows.bigints(record.number for record in records)],
    ):
        errors[job].append(rows.error_of(error))
    return [replace(record, errors=tuple(errors[record.number])) for record in records]
