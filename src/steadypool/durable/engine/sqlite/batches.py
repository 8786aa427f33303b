"""Statements about batches. Each works in the transaction that its connection is in.

A row of ``batches`` says how many members a batch has, and how many of them have ended. Only one transaction writes at
a time, so each counts there what it adds or ends. If the batch is sealed then, and as many have ended as it has, the
jobs that follow are put in the same transaction, under ids that are theirs alone: so each is put once. A member that
adds others does so before it ends: the sum is not reached in between. One that was given up and is run again by hand
takes back what it has counted. On PostgreSQL the same is in `sql/0002_batches.sql`, with the races that it closes.

Each function returns the jobs that are to be put then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from steadypool.durable.engine.batches import MONTH, BatchRow, NewBatch, following_id
from steadypool.durable.engine.job_json import from_kept, kept_as
from steadypool.durable.engine.records import KEEP_GIVEN_UP, NewJob
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists
from steadypool.durable.engine.states import JobState

ROW = (
    "number, name, parent, on_failure, total, ended, failed, cancelled, sealed, made_at, cancelled_at, then_at, "
    "finished_at, then_job IS NOT NULL, finally_job IS NOT NULL"
)


class Change(NamedTuple):
    """By how much the counts of one batch change."""

    total: int = 0
    ended: int = 0
    failed: int = 0
    cancelled: int = 0

    def more(self, state: JobState | None = None, sign: int = 1) -> Change:
        """With one more that has ended so; without a state, with one more member."""
        if state is None:
            return self._replace(total=self.total + sign)
        return self._replace(
            ended=self.ended + sign,
            failed=self.failed + sign * (state is JobState.DISCARDED),
            cancelled=self.cancelled + sign * (state is JobState.CANCELLED),
        )


def row_of(values: Sequence[Any]) -> BatchRow:
    """From the columns of `ROW`."""
    row = BatchRow(*values)
    return row._replace(sealed=bool(row.sealed), has_then=bool(row.has_then), has_finally=bool(row.has_finally))


def make(connection: Any, number: int, new: NewBatch, now: float) -> list[NewJob]:
    """Make a batch."""
    values = (number, new.name, new.parent, kept_as(new.then), kept_as(new.finally_), new.on_failure, now)
    connection.execute(
        "INSERT INTO batches (number, name, parent, then_job, finally_job, on_failure, made_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    return [] if new.parent is None else change(connection, {new.parent: Change(total=1)}, now)


def seal(connection: Any, number: int, now: float) -> list[NewJob]:
    """No more is added, but by members."""
    connection.execute("UPDATE batches SET sealed = 1 WHERE number = ?", (number,))
    return change(connection, {number: Change()}, now)


def change(connection: Any, changes: Mapping[int, Change], now: float) -> list[NewJob]:
    """Members were added, have ended, or run again by hand."""
    following: list[NewJob] = []
    for number, by in sorted(changes.items()):
        connection.execute(
            "UPDATE batches SET total = total + ?, ended = ended + ?, failed = failed + ?, cancelled = cancelled + ?, "
            "cancelling = cancelling OR (? > 0 AND cancelled_at IS NOT NULL) "
            "OR (on_failure = 'cancel_rest' AND failed + ? > 0 AND (? > 0 OR ? > 0)) WHERE number = ?",
            (*by, by.total, by.failed, by.total, by.failed, number),
        )
        following += _end(connection, number, now)
    return following


def _end(connection: Any, number: int, now: float) -> list[NewJob]:
    """What follows if the batch has ended."""
    found = connection.execute(
        f"SELECT {ROW}, then_job, finally_job, counted FROM batches WHERE number = ?", (number,)
    ).fetchall()
    if not found:
        return []
    *values, then_job, finally_job, counted = found[0]
    row = row_of(values)
    following: list[NewJob] = []
    status = _status(row)
    if status is not None and row.finished_at is None:
        connection.execute(
            "UPDATE batches SET finished_at = ?, keep_until = ? WHERE number = ?", (now, now + KEEP_GIVEN_UP, number)
        )
        if row.sealed and finally_job is not None:
            following.append(from_kept(finally_job, following_id(number, "finally")))
    if status == "completed" and row.then_at is None and row.cancelled_at is None:
        connection.execute("UPDATE batches SET then_at = ? WHERE number = ?", (now, number))
        if then_job is not None:
            following.append(from_kept(then_job, following_id(number, "then")))
    if row.parent is not None and status != counted:
        connection.execute("UPDATE batches SET counted = ? WHERE number = ?", (status, number))
        by = Change(
            0,
            (status is not None) - (counted is not None),
            (status == "failed") - (counted == "failed"),
            (status == "cancelled") - (counted == "cancelled"),
        )
        following += change(connection, {row.parent: by}, now)
    return following


def _status(row: BatchRow) -> str | None:
    """As what it counts in its parent; ``None`` as long as it has not ended."""
    if row.total != row.ended or not (row.sealed or row.cancelled_at is not None):
        return None
    if row.failed:
        return "failed"
    return "completed" if row.sealed and not row.cancelled else "cancelled"


def cancel(connection: Any, number: int, sealed: bool, now: float) -> tuple[bool, list[NewJob]]:
    """Cancel it; whether it had not finished, and what follows."""
    found = connection.execute(
        "UPDATE batches SET cancelled_at = coalesce(cancelled_at, ?), cancelling = 1, sealed = sealed OR ? "
        "WHERE number = ? AND finished_at IS NULL RETURNING number",
        (now, sealed, number),
    ).fetchall()
    return bool(found), _end(connection, number, now)


# -- what is left to do


def is_something_left(connection: Any) -> bool:
    """Whether there is something to cancel, or to tell."""
    return exists(connection, "batches WHERE cancelling") or exists(
        connection, "batches WHERE finished_at IS NOT NULL AND NOT told"
    )


def to_cancel(connection: Any, limit: int, now: float) -> list[int]:
    """Members that are to be cancelled, so many at most. Batches that have no others are through with it."""
    members: list[int] = []
    for [number] in connection.execute("SELECT number FROM batches WHERE cancelling LIMIT 100").fetchall():
        found = connection.execute(
            "SELECT number FROM jobs WHERE batch = ? AND NOT EXISTS (SELECT 1 FROM cancels WHERE job = number) "
            "ORDER BY number LIMIT ?",
            (number, limit - len(members) + 1),
        ).fetchall()
        connection.execute(
            "UPDATE batches SET cancelled_at = coalesce(cancelled_at, ?), cancelling = 1 "
            "WHERE parent = ? AND finished_at IS NULL AND cancelled_at IS NULL",
            (now, number),
        )
        if len(found) + len(members) <= limit:
            connection.execute("UPDATE batches SET cancelling = 0 WHERE number = ?", (number,))
        members += [member for [member] in found][: limit - len(members)]
    return members


def end_without_members(connection: Any, now: float) -> list[NewJob]:
    """What follows batches that were cancelled with their parent, and have no member."""
    found = connection.execute(
        "SELECT number FROM batches WHERE parent IS NOT NULL AND cancelled_at IS NOT NULL AND finished_at IS NULL "
        "AND total = ended"
    ).fetchall()
    return [job for [number] in found for job in _end(connection, number, now)]


def take_finished(connection: Any) -> list[BatchRow]:
    """Batches that have finished, and of which no worker has emitted that so far."""
    found = connection.execute(
        f"UPDATE batches SET told = 1 WHERE finished_at IS NOT NULL AND NOT told RETURNING {ROW}"
    )
    return list(map(row_of, found.fetchall()))


def keep_members(connection: Any, numbers: Collection[int], now: float) -> set[int]:
    """Of these records whose time is over, those of members of open batches: they have time again, for a month."""
    found = connection.execute(
        "SELECT h.number FROM history h JOIN batches b ON b.number = h.batch "
        f"WHERE h.number {AMONG} AND b.finished_at IS NULL AND b.made_at > ?",
        (as_json(numbers), now - MONTH),
    ).fetchall()
    kept = {number for [number] in found}
    connection.execute(
        f"UPDATE history SET keep_until = ? + max((? - ended_at) / 2, 5.0) WHERE number {AMONG}",
        (now, now, as_json(kept)),
    )
    return kept
