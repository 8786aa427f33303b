"""What is known of jobs beside their rows: who runs them since when and how far, and why they failed last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.sqlite.rows import as_json
from steadypool.durable.engine.states import JobState

_HOLDERS = """
    SELECT json_extract(h.value, '$[0]'), w.name, l.since, json_extract(w.progress, '$."' || j.number || '"')
    FROM leases l JOIN workers w ON w.number = l.worker, json_each(l.jobs) h
    JOIN jobs j ON j.number = json_extract(h.value, '$[0]') AND j.returns = json_extract(h.value, '$[1]') - 1
    WHERE j.number IN (SELECT value FROM json_each(?))"""
_LAST_ERRORS = """
    SELECT job, attempt, outcome, type_name, message, '', at, worker, started_at FROM errors
    WHERE rowid IN (SELECT max(rowid) FROM errors WHERE job IN (SELECT value FROM json_each(?)) GROUP BY job)"""


def with_details(connection: Any, records: Sequence[JobRecord]) -> list[JobRecord]:
    """The records, with what is known beside: two statements, however many they are."""
    running = [record.number for record in records if record.state is JobState.RUNNING]
    held = {}
    if running:
        for number, worker, since, progress in connection.execute(_HOLDERS, (as_json(running),)).fetchall():
            held[number] = worker, since, None if progress is None else tuple(json.loads(progress))
    failed = [record.number for record in records if record.attempt]
    errors = {}
    if failed:
        for job, *error in connection.execute(_LAST_ERRORS, (as_json(failed),)).fetchall():
            errors[job] = AttemptError(*error)
    return [_detailed(record, held.get(record.number), errors.get(record.number)) for record in records]


def _detailed(record: JobRecord, held: Any, error: AttemptError | None) -> JobRecord:
    if held is None and error is None:
        return record
    if held is None:
        return replace(record, last_error=error)
    worker, since, progress = held
    return replace(record, worker=worker, running_since=since, started_at=since, progress=progress, last_error=error)


def report(connection: Any, worker: int, progress: dict[int, tuple[float, float | None]]) -> None:
    """Write down how far the worker's jobs are, instead of what it had said before."""
    connection.execute("UPDATE workers SET progress = ? WHERE number = ?", (json.dumps(progress), worker))
