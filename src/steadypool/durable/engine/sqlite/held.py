"""What is known of jobs beside their rows: who runs them since when and how far, and why they failed last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine import details
from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.sqlite.rows import AMONG, as_json

_HOLDERS = f"""
    SELECT json_extract(h.value, '$[0]'), w.name, l.since, json_extract(w.progress, '$."' || j.number || '"')
    FROM leases l JOIN workers w ON w.number = l.worker, json_each(l.jobs) h
    JOIN jobs j ON j.number = json_extract(h.value, '$[0]') AND j.returns = json_extract(h.value, '$[1]') - 1
    WHERE j.number {AMONG}"""
_ERRORS = f"""
    SELECT job, attempt, outcome, type_name, message, traceback, at, worker, started_at FROM errors
    WHERE job {AMONG} ORDER BY rowid"""
_LAST_ERRORS = f"""
    SELECT job, attempt, outcome, type_name, message, '', at, worker, started_at FROM errors
    WHERE rowid IN (SELECT max(rowid) FROM errors WHERE job {AMONG} GROUP BY job)"""


def with_details(connection: Any, records: Sequence[JobRecord]) -> list[JobRecord]:
    """The records, with what is known beside: two statements, however many they are."""
    return details.with_details(
        records,
        lambda running: connection.execute(_HOLDERS, (as_json(running),)).fetchall(),
        lambda failed: errors_by(connection.execute(_LAST_ERRORS, (as_json(failed),))),
    )


def with_errors(connection: Any, records: Sequence[JobRecord]) -> list[JobRecord]:
    """The records of these jobs, each with its errors."""
    found = connection.execute(_ERRORS, (as_json(record.number for record in records),))
    return details.with_errors(records, errors_by(found))


def errors_by(found: Any) -> details.Errors:
    """What a statement finds: the number of a job, and an error."""
    return [(job, AttemptError(*error)) for job, *error in found.fetchall()]


def report(connection: Any, worker: int, progress: dict[int, tuple[float, float | None]]) -> None:
    """Write down how far the worker's jobs are, instead of what it had said before."""
    connection.execute("UPDATE workers SET progress = ? WHERE number = ?", (json.dumps(progress), worker))
