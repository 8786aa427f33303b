"""What the admin says of a job."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from steadypool.contrib.django.results import moment
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import ENDED, WAITING, JobState
from steadypool.model.quantities import progress_text

LONGEST = 80
PASSED_OVER = 10_000
"""Rows that one page looks through at most for what it is to show."""


class JobRow(NamedTuple):
    """A row of the list."""

    number: int
    id: str
    task: str
    queue: str
    state: str
    attempt: int
    enqueued_at: Any
    arguments: str
    note: str


def row_of(record: JobRecord) -> JobRow:
    """The row of a job."""
    error = record.last_error
    note = record.reason or ("" if error is None else f"{error.type_name}: {error.message}")
    if record.state is JobState.RUNNING:
        note = f"on {record.worker}{f', at {progress_text(record.progress)}' if record.progress else ''}"
    state = f"{record.state.value}, cancelling" if record.cancelling else record.state.value
    enqueued, shown = moment(record.enqueued_at), arguments_of(record)
    what = record.number, record.id, record.task, record.queue
    return JobRow(*what, state, record.attempt, enqueued, _short(shown), _short(note))


def arguments_of(record: JobRecord) -> str:
    """The arguments as a call has them; of another task than one of Django's, as they are stored."""
    kept = _read(record.payload if record.payload is not None else record.result)
    if isinstance(kept, dict) and isinstance(kept.get("args"), list) and isinstance(kept.get("kwargs"), dict):
        given = [_text(value) for value in kept["args"]]
        return ", ".join([*given, *(f"{name}={_text(value)}" for name, value in kept["kwargs"].items())])
    return "" if record.payload is None else record.payload.decode(errors="backslashreplace")


def details_of(record: JobRecord) -> dict[str, Any]:
    """What the page of one job says."""
    result = _read(record.result)
    if isinstance(result, dict) and "return_value" in result:
        result = result["return_value"]
    facts = {
        "task": record.task,
        "queue": record.queue,
        "state": record.state.value,
        "priority": record.priority,
        "attempt": record.attempt,
        "enqueued": moment(record.enqueued_at),
        "due": moment(record.due_at),
        "started": moment(record.started_at),
        "ended": moment(record.ended_at),
        "worker": record.worker,
        "progress": progress_text(record.progress) if record.progress else None,
        "reason": record.reason,
        "tags": ", ".join(record.tags),
        "arguments": arguments_of(record),
        "result": _text(result) if record.state is JobState.COMPLETED else None,
    }
    return {
        "facts": [(name, value) for name, value in facts.items() if value not in (None, "")],
        "attempts": [(error, moment(error.started_at), moment(error.at)) for error in record.errors],
        "actions": _actions(record.state),
    }


def _actions(state: JobState) -> list[str]:
    if state in (JobState.DISCARDED, JobState.CANCELLED):
        return ["retry"]
    waits = ["cancel", "discard"] if state in WAITING else []
    early = ["retry"] if state in (JobState.SCHEDULED, JobState.RETRYABLE) else []
    return [] if state in ENDED else [*early, *(waits or ["cancel"])]


def _read(text: bytes | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None  # another program has written it


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
