"""Rows of the tables, and the records made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from steadypool.durable.engine.records import BEHIND, SET_ASIDE, JobRecord, public_id
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.turns import Turn


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
    batch: int | None


COLUMNS = ", ".join(Row._fields)


AMONG = "IN (SELECT value FROM json_each(?))"
"""Whether something is among the values of `as_json`: one statement, however many there are."""


def as_json(values: Iterable[int | str]) -> str:
    """Numbers or names as the value of `AMONG`, and of ``json_each``."""
    return json.dumps(list(values))


def exists(connection: Any, rows: str, values: Sequence[Any] = ()) -> bool:
    """Whether there are such rows, as in ``exists(connection, "gated WHERE queue = ?", (queue,))``."""
    return bool(connection.execute(f"SELECT EXISTS (SELECT 1 FROM {rows})", values).fetchall()[0][0])


def rows_of(connection: Any, numbers: Sequence[int]) -> dict[int, Row]:
    """The jobs of these numbers that have not ended."""
    found = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE number {AMONG}", (as_json(numbers),))
    return {values[0]: Row(*values) for values in found.fetchall()}


HISTORY = (
    "number, nonce, id, task, queue, state, rank, attempt, crashes, losses, enqueued_at, ended_at, payload, result, "
    "reason, worker, started_at, tags, gates, lane"
)
BARE_HISTORY = HISTORY.replace("payload, result", "NULL, NULL")
"""The same without what may be large."""


def ended_record(values: Sequence[Any]) -> JobRecord:
    """The record of an ended job, from the columns of `HISTORY`."""
    number, nonce, chosen, task, queue, state, rank, attempt, crashes, losses, enqueued, ended, *rest = values
    payload, result, why, worker, started, tags, gates, lane = rest
    return JobRecord(
        number,
        nonce,
        public_id(number, nonce, chosen),
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
        worker=worker,
        started_at=started,
        tags=tags_of(tags),
        turn=None if gates is None else Turn(gates, lane),
    )


LIVE = (
    "j.number, j.nonce, j.id, j.task, j.queue, j.rank, j.attempt, j.crashes, j.losses, j.enqueued_at, j.payload, "
    "coalesce(r.number, g.number), d.due, d.retry, d.task IS NOT NULL, c.job, j.tags, w.job, w.due, j.gates, j.lane"
)
BARE_LIVE = LIVE.replace("j.payload", "NULL")
"""The same without what may be large."""
BEHIND_SINCE = 253_402_214_400.0
"""The moment in the year 9999 at which a job is due that waits for the end of another."""
LIVE_FROM = (
    "jobs j LEFT JOIN ready r ON r.queue = j.queue AND r.rank = j.rank AND r.number = j.number "
    "LEFT JOIN gated g ON g.number = j.number AND j.gates IS NOT NULL "
    "LEFT JOIN delayed d ON d.number = j.number LEFT JOIN cancels c ON c.job = j.number "
    "LEFT JOIN waiting w ON w.job = j.number"
)


def live_record(values: Sequence[Any], now: float) -> JobRecord:
    """The record of a job that has not ended, from the columns of `LIVE`."""
    number, nonce, chosen, task, queue, rank, attempt, crashes, losses, enqueued, payload, *rest = values
    ready, due, again, is_aside, cancel, tags, waits, not_before, gates, lane = rest
    why = SET_ASIDE if is_aside else BEHIND if due == BEHIND_SINCE else ""
    state = _live_state(ready, due, again, due is not None and due <= now and not is_aside)
    if waits is not None:
        state, due = JobState.WAITING, not_before
    return JobRecord(
        number,
        nonce,
        public_id(number, nonce, chosen),
        task,
        queue,
        state,
        -rank,
        attempt + 1 if state is JobState.RUNNING else attempt,
        crashes,
        losses,
        enqueued,
        due_at=None if why else due,
        reason=why,
        payload=payload,
        cancelling=cancel is not None,
        tags=tags_of(tags),
        turn=None if gates is None else Turn(gates, lane),
    )


def tags_of(text: str | None) -> tuple[str, ...]:
    """Of a column."""
    return () if text is None else tuple(json.loads(text))


def _live_state(ready: int | None, due: float | None, again: int | None, is_due: bool) -> JobState:
    if ready is not None or is_due:  # the next claim makes it ready
        return JobState.AVAILABLE
    if due is None:
        return JobState.RUNNING
    return JobState.RETRYABLE if again else JobState.SCHEDULED
