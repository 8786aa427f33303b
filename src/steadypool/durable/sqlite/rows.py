"""Rows of the tables, and the records made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from steadypool.durable.records import AttemptError, JobRecord
from steadypool.durable.states import JobState


class Row(NamedTuple):
    """What a settlement needs of a row of ``jobs``. The rest is copied inside the database."""

    number: int
    id: str | None
    queue: str
    task: str
    rank: int
    attempt: int
    crashes: int
    losses: int
    returns: int
    keep: float
    unique_key: str | None
    unique_held: int


COLUMNS = ", ".join(Row._fields)


def public_id(number: int, chosen: str | None) -> str:
    """What people call the job."""
    return chosen if chosen is not None else f"job-{number}"


MOST_DIGITS = 18
"""Of a number that the database has room for."""


def number_in(job_id: str) -> int | None:
    """The number in an id that was not chosen by the user; ``None`` if it was."""
    digits = job_id.removeprefix("job-")
    if digits == job_id or not (digits.isascii() and digits.isdigit()) or len(digits) > MOST_DIGITS:
        return None
    return int(digits)


def as_json(numbers: Iterable[int]) -> str:
    """Numbers as a value for ``json_each``: one statement, however many there are."""
    return json.dumps(list(numbers))


def rows_of(connection: Any, numbers: Sequence[int]) -> dict[int, Row]:
    """The jobs of these numbers that have not ended."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE number IN (SELECT value FROM json_each(?))", (as_json(numbers),)
    )
    return {values[0]: Row(*values) for values in found.fetchall()}


def errors_of_job(connection: Any, number: int) -> tuple[AttemptError, ...]:
    """The failed attempts of a job, in order."""
    found = connection.execute(
        "SELECT attempt, outcome, type_name, message, traceback, at FROM errors WHERE job = ? ORDER BY rowid", (number,)
    )
    return tuple(AttemptError(*values) for values in found.fetchall())


HISTORY = (
    "number, id, task, queue, state, rank, attempt, crashes, losses, enqueued_at, ended_at, payload, result, reason"
)


def ended_record(values: Sequence[Any]) -> JobRecord:
    """The record of an ended job, from the columns of `HISTORY`."""
    number, chosen, task, queue, state, rank, attempt, crashes, losses, enqueued, ended, payload, result, why = values
    return JobRecord(
        number,
        public_id(number, chosen),
        task,
        queue,
        JobState(state),
        -rank,
        attempt,
        crashes,
        losses,
        enqueued,
        ended_at=ended,
        payload=payload,
        result=result,
        reason=why,
    )


LIVE = (
    "j.number, j.id, j.task, j.queue, j.rank, j.attempt, j.crashes, j.losses, j.enqueued_at, j.payload, "
    "r.number, d.due, d.retry, c.job"
)
LIVE_FROM = (
    "jobs j LEFT JOIN ready r ON r.queue = j.queue AND r.rank = j.rank AND r.number = j.number "
    "LEFT JOIN delayed d ON d.number = j.number LEFT JOIN cancels c ON c.job = j.number"
)


def live_record(values: Sequence[Any], now: float) -> JobRecord:
    """The record of a job that has not ended, from the columns of `LIVE`."""
    number, chosen, task, queue, rank, attempt, crashes, losses, enqueued, payload, ready, due, again, cancel = values
    state = _live_state(ready, due, again, now)
    return JobRecord(
        number,
        public_id(number, chosen),
        task,
        queue,
        state,
        -rank,
        attempt + 1 if state is JobState.RUNNING else attempt,
        crashes,
        losses,
        enqueued,
        due_at=due,
        payload=payload,
        cancelling=cancel is not None,
    )


def _live_state(ready: int | None, due: float | None, again: int | None, now: float) -> JobState:
    if ready is not None:
        return JobState.AVAILABLE
    if due is None:
        return JobState.RUNNING
    if due <= now:
        return JobState.AVAILABLE  # the next claim says so
    return JobState.RETRYABLE if again else JobState.SCHEDULED
