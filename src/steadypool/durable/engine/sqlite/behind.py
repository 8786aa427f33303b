"""Statements about jobs whose unique key is taken. Each works in the transaction that its connection is in.

A job that waits **behind** another, which runs and has its key, stands in ``delayed``, due in the year 9999; when the
other has ended it gets the key, and its real time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.sqlite.gates import make_available
from steadypool.durable.engine.sqlite.rows import BEHIND_SINCE, exists, rows_of

Key = tuple[str, str, int]
"""Scope, key, and the number of the job that has it."""
_SET = (
    "UPDATE jobs SET payload = ?, options = ?, tags = ?, on_discarded = ?, keep = ?, expires_at = ?, gates = ?, "
    "lane = ? WHERE number = ?"
    " RETURNING enqueued_at, queue, rank"
)


def waiting_of(connection: Any, owner: int) -> int | None:
    """The job that waits, of the owner of a key and the one behind it: the later one; ``None`` if none does."""
    for number in (*_behind(connection, owner), owner):
        row = rows_of(connection, [number]).get(number)
        if row is not None and (
            _is_ready(connection, row) or _due_of(connection, number) is not None or _waits(connection, number)
        ):
            return number
    return None


def put_into(connection: Any, number: int, job: NewJob, now: float) -> None:
    """Give a job that waits the arguments of a later call; and its time, if that pushes it back."""
    tags = json.dumps(job.tags) if job.tags else None
    expires = None if job.total_timeout is None else now + job.total_timeout
    values = (job.payload, job.options, tags, job.on_discarded, job.keep, expires, *(job.turn or (None, None)), number)
    [[enqueued_at, queue, rank]] = connection.execute(_SET, values).fetchall()
    if _due_of(connection, number) is None:  # its lane may be another
        _take_out(connection, queue, rank, number)
        make_available(connection, [number])
    if job.on_taken != "push_back":
        return
    due = now + job.delay if job.at is None else job.at
    if job.at_most is not None:
        due = min(due, enqueued_at + job.at_most)
    before = _due_of(connection, number)
    if before == BEHIND_SINCE:
        connection.execute("UPDATE behind SET due = ? WHERE number = ?", (due, number))
    elif before is not None:
        connection.execute("UPDATE delayed SET due = ? WHERE number = ? AND task IS NULL", (due, number))
    elif _waits(connection, number):
        connection.execute("UPDATE waiting SET due = ? WHERE job = ?", (due, number))
    elif due > now:
        _take_out(connection, queue, rank, number)
        connection.execute("INSERT INTO delayed (due, number, retry) VALUES (?, ?, 0)", (due, number))


def wait_behind(connection: Any, owner: int, number: int, due: float) -> None:
    """Have a job that was put wait for the end of *owner*, and then for its own time."""
    connection.execute("INSERT OR REPLACE INTO behind VALUES (?, ?, ?)", (owner, number, due))
    row = rows_of(connection, [number])[number]
    _take_out(connection, row.queue, row.rank, row.number)
    connection.execute("DELETE FROM delayed WHERE number = ?", (number,))
    connection.execute("INSERT INTO delayed (due, number, retry) VALUES (?, ?, 0)", (BEHIND_SINCE, number))


def hand_on(connection: Any, keys: Sequence[Key], now: float) -> None:
    """Jobs have ended that held these keys until then: each goes to the job that waits behind, or is free."""
    if not keys:
        return
    is_any = exists(connection, "behind")
    free = [key for key in keys if not (is_any and _handed_on(connection, key, now))]
    connection.executemany("DELETE FROM keys WHERE scope = ? AND key = ? AND job = ?", free)


def _handed_on(connection: Any, key: Key, now: float) -> bool:
    owner = key[2]
    connection.execute("DELETE FROM behind WHERE number = ?", (owner,))  # it was given up while it waited itself
    found = connection.execute("DELETE FROM behind WHERE owner = ? RETURNING number, due", (owner,)).fetchall()
    if not found:
        return False
    [[number, due]] = found
    if _due_of(connection, number) != BEHIND_SINCE:
        return False  # it was moved on by hand
    connection.execute("DELETE FROM delayed WHERE number = ?", (number,))
    if due > now:
        connection.execute("INSERT INTO delayed (due, number, retry) VALUES (?, ?, 0)", (due, number))
    else:
        make_available(connection, [number])
    connection.execute("UPDATE keys SET job = ? WHERE scope = ? AND key = ? AND job = ?", (number, *key))
    return True


def _behind(connection: Any, owner: int) -> list[int]:
    return [number for [number] in connection.execute("SELECT number FROM behind WHERE owner = ?", (owner,)).fetchall()]


def _due_of(connection: Any, number: int) -> float | None:
    found = connection.execute("SELECT due FROM delayed WHERE number = ?", (number,)).fetchall()
    return float(found[0][0]) if found else None


def _waits(connection: Any, number: int) -> bool:
    return exists(connection, "waiting WHERE job = ?", (number,))


def _is_ready(connection: Any, row: Any) -> bool:
    place = (row.queue, row.rank, row.number)
    return exists(connection, "ready WHERE queue = ? AND rank = ? AND number = ?", place) or exists(
        connection, "gated WHERE number = ?", (row.number,)
    )


def _take_out(connection: Any, queue: str, rank: int, number: int) -> None:
    connection.execute("DELETE FROM ready WHERE queue = ? AND rank = ? AND number = ?", (queue, rank, number))
    connection.execute("DELETE FROM gated WHERE number = ?", (number,))
