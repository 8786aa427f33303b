"""Statements by which people change one job. Each works in the transaction that its connection is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine.records import Change, ChangeKind, JobKey, JobRecord
from steadypool.durable.engine.sqlite import batches, edges
from steadypool.durable.engine.sqlite.gates import make_available
from steadypool.durable.engine.sqlite.put import owner_of_key
from steadypool.durable.engine.sqlite.read import record_of
from steadypool.durable.engine.sqlite.rows import rows_of
from steadypool.durable.engine.sqlite.settle import remove_waiting
from steadypool.durable.engine.states import ENDED, WAITING, JobState

_REVIVED = (
    "INSERT INTO jobs (number, nonce, id, queue, task, rank, returns, enqueued_at, keep, unique_key, unique_held, "
    "options, payload, tags, gates, batch, on_discarded, lane) SELECT number, nonce, id, queue, task, rank, returns, "
    "enqueued_at, keep, unique_key, unique_held, options, payload, tags, gates, batch, on_discarded, lane FROM history "
    "WHERE number = ?"
)


def cancel(connection: Any, number: int, nonce: int | None, now: float) -> JobState | None:
    """Cancel one that waits, or leave word for the worker of one that runs; the state in which it was."""
    found = record_of(connection, number, nonce, now)
    if found is None:
        return None
    if found.state in WAITING:
        _end(connection, number, JobState.CANCELLED, now)
    elif found.state is JobState.RUNNING:
        connection.execute("INSERT OR IGNORE INTO cancels VALUES (?, ?)", (number, found.nonce))
    return found.state


def discard(connection: Any, number: int, nonce: int, reason: str, now: float) -> JobRecord | None:
    """Discard one that waits."""
    found = record_of(connection, number, nonce, now)
    if found is not None and found.state in WAITING:
        _end(connection, number, JobState.DISCARDED, now, reason)
    return found


def retry(connection: Any, number: int, nonce: int, now: float) -> JobRecord | None:
    """Make one available that was given up, or that is delayed."""
    found = record_of(connection, number, nonce, now)
    if found is None:
        return None
    if found.state in (JobState.DISCARDED, JobState.CANCELLED):
        if not edges.has_failed(connection, number):
            revive(connection, number, now)
    elif found.state in (JobState.SCHEDULED, JobState.RETRYABLE):
        connection.execute("DELETE FROM behind WHERE number = ?", (number,))
        connection.execute("DELETE FROM delayed WHERE number = ?", (number,))
        make_available(connection, [number])
    return found


def revive(connection: Any, number: int, now: float) -> None:
    """Have a job there again that was given up, and those that were cancelled for it: so many at most, `tend` does the
    rest."""
    numbers, left = [number], edges.RELEASED_AT_ONCE
    while numbers and left > 0:
        number = numbers.pop()
        left -= 1
        if _revive_one(connection, number, now):
            numbers += edges.cancelled_for(connection, [number])


def _revive_one(connection: Any, number: int, now: float) -> bool:
    """Unless it is there, or its unique key is another's by now."""
    found = connection.execute("SELECT task, batch, state FROM history WHERE number = ?", (number,)).fetchall()
    for task, batch, state in found:
        if not _take_key_again(connection, number, task, now):
            return False
        connection.execute(_REVIVED, (number,))
        connection.execute("DELETE FROM history WHERE number = ?", (number,))
        if batch is not None:
            batches.change(connection, {batch: batches.Change().more(JobState(state), -1)}, now)
        if not edges.wait_again(connection, number):
            make_available(connection, [number])
        return True
    return False


def change_many(connection: Any, kind: ChangeKind, jobs: Sequence[JobKey], reason: str, now: float) -> list[Change]:
    """Change each; a row for each that is there."""
    changes: list[Change] = []
    for number, nonce in sorted(jobs):  # so that a job comes back before those that were cancelled for it
        if kind == "cancel":
            was = cancel(connection, number, nonce, now)
            is_changed = was not in ENDED
        elif kind == "discard":
            found = discard(connection, number, nonce, reason, now)
            was = None if found is None else found.state
            is_changed = was in WAITING
        else:
            found = retry(connection, number, nonce, now)
            was = None if found is None else found.state
            is_changed = was in (JobState.SCHEDULED, JobState.RETRYABLE) or (
                was in (JobState.DISCARDED, JobState.CANCELLED) and bool(rows_of(connection, [number]))
            )
        if was is not None:
            changes.append(Change(number, was, is_changed))
    return changes


def _end(connection: Any, number: int, state: JobState, now: float, reason: str = "") -> None:
    remove_waiting(connection, rows_of(connection, [number])[number], state, now, reason)


def _take_key_again(connection: Any, number: int, task: str, now: float) -> bool:
    [[key, held]] = connection.execute(
        "SELECT unique_key, unique_held FROM history WHERE number = ?", (number,)
    ).fetchall()
    if not held:
        return True
    if owner_of_key(connection, task, key, now) is not None:
        return False
    connection.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, NULL)", (task, key, number))
    return True
