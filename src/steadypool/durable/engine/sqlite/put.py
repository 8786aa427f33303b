"""Statements that put jobs. Each function works in the transaction that its connection is in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine.nonces import new_nonce
from steadypool.durable.engine.records import EnqueueResult, NewJob, public_id
from steadypool.durable.engine.sqlite import batches, behind, edges
from steadypool.durable.engine.sqlite.rows import rows_of

_JOB = (
    "INSERT INTO jobs (number, nonce, id, queue, task, rank, enqueued_at, expires_at, keep, unique_key, unique_held, "
    "options, payload, batch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_READY = "INSERT INTO ready VALUES (?, ?, ?)"
_GATED = "INSERT INTO gated VALUES (?, ?, ?, ?, ?)"
_DELAYED = "INSERT INTO delayed (due, number, retry) VALUES (?, ?, 0)"
_KEY = (
    "INSERT INTO keys VALUES (?, ?, ?, ?) "
    "ON CONFLICT (scope, key) DO UPDATE SET job = excluded.job, until = excluded.until"
)
IDS = ""
"""The scope of chosen ids among the keys; a unique key's scope is its task, and no task's name is empty."""


def put(connection: Any, jobs: Sequence[NewJob], now: float) -> list[EnqueueResult]:
    """Put the jobs, but for those whose id or unique key is taken."""
    first, nonce = _take_numbers(connection, len(jobs)), new_nonce()
    placed: list[EnqueueResult] = []
    fresh: list[tuple[int, NewJob]] = []
    for number, job in enumerate(jobs, first):
        taken = _take_keys(connection, number, job, now) if job.id is not None or job.unique is not None else None
        if taken is not None and taken.number >= first:  # one of these jobs has the key, and may not be inserted yet
            taken = placed[taken.number - first]._replace(enqueued=False)
        if taken is None:
            fresh.append((number, job))
            taken = EnqueueResult(number, nonce, public_id(number, nonce, job.id), True)
        elif job.on_taken != "keep" and taken.id != job.id:
            _insert(connection, fresh, nonce, now)  # it may be one of those that has the key
            fresh.clear()
            taken = _put_over(connection, number, nonce, job, taken, now)
        placed.append(taken)
    _insert(connection, fresh, nonce, now)
    if any(job.after for job in jobs):
        edges.link(connection, jobs, placed)
    if any(job.batch is not None for job in jobs):
        _join(connection, jobs, placed, now)
    return placed


def _join(connection: Any, jobs: Sequence[NewJob], placed: Sequence[EnqueueResult], now: float) -> None:
    """Batches have got members: so no job can follow one yet."""
    counts = Counter(job.batch for job, own in zip(jobs, placed, strict=True) if own.enqueued and job.batch is not None)
    batches.change(connection, {batch: batches.Change(total=count) for batch, count in counts.items()}, now)


def _put_over(connection: Any, number: int, nonce: int, job: NewJob, owner: EnqueueResult, now: float) -> EnqueueResult:
    """Put a job whose unique key is taken as its ``on_taken`` says."""
    waiting = behind.waiting_of(connection, owner.number)
    if waiting is not None:
        behind.put_into(connection, waiting, job, now)
        its_nonce, chosen = _identity_of(connection, waiting)
        return EnqueueResult(waiting, its_nonce, public_id(waiting, its_nonce, chosen), False)
    if not rows_of(connection, [owner.number]):
        return owner  # it has ended, and its key holds for a period
    if job.id is not None:
        connection.execute(_KEY, (IDS, job.id, number, None))
    _insert(connection, [(number, job)], nonce, now)
    behind.wait_behind(connection, owner.number, number, now + job.delay if job.at is None else job.at)
    return EnqueueResult(number, nonce, public_id(number, nonce, job.id), True)


def _take_numbers(connection: Any, count: int) -> int:
    """The first of *count* numbers that were never given before, as far as this file knows."""
    connection.execute("UPDATE counters SET value = value + ? WHERE name = 'job'", (count,))
    [[last]] = connection.execute("SELECT value FROM counters WHERE name = 'job'").fetchall()
    return int(last) - count + 1


def _insert(connection: Any, jobs: Sequence[tuple[int, NewJob]], nonce: int, now: float) -> None:
    connection.executemany(_JOB, [_columns(number, nonce, job, now) for number, job in jobs])
    more = [
        (_tags(job), job.on_discarded, *(job.turn or (None, None)), number)
        for number, job in jobs
        if job.tags or job.on_discarded or job.turn
    ]
    connection.executemany("UPDATE jobs SET tags = ?, on_discarded = ?, gates = ?, lane = ? WHERE number = ?", more)
    due = [(job.at if job.at is not None else now + job.delay, number, job) for number, job in jobs]
    ready = [(job.queue, -job.priority, number) for at, number, job in due if at <= now and job.turn is None]
    if ready:
        connection.executemany(_READY, ready)
    if len(ready) < len(due):
        in_turn = [(job.queue, *job.turn, -job.priority, number) for at, number, job in due if at <= now and job.turn]
        connection.executemany(_GATED, in_turn)
        connection.executemany(_DELAYED, [(at, number) for at, number, _ in due if at > now])


def _columns(number: int, nonce: int, job: NewJob, now: float) -> tuple[Any, ...]:
    expires = None if job.total_timeout is None else now + job.total_timeout
    held = job.unique is not None and job.unique_for is None
    return (
        number,
        nonce,
        job.id,
        job.queue,
        job.task,
        -job.priority,
        now,
        expires,
        job.keep,
        job.unique,
        held,
        job.options,
        job.payload,
        job.batch,
    )


def _tags(job: NewJob) -> str | None:
    return json.dumps(job.tags) if job.tags else None


def _take_keys(connection: Any, number: int, job: NewJob, now: float) -> EnqueueResult | None:
    """Take the job's id and unique key, or neither: then, whose they are."""
    wanted: list[tuple[str, str, float | None]] = []
    if job.id is not None:
        wanted.append((IDS, job.id, None))
    if job.unique is not None:
        wanted.append((job.task, job.unique, None if job.unique_for is None else now + job.unique_for))
    for scope, key, _ in wanted:
        owner = owner_of_key(connection, scope, key, now)
        if owner is not None:
            nonce, chosen = _identity_of(connection, owner)
            return EnqueueResult(owner, nonce, public_id(owner, nonce, chosen), False)
    connection.executemany(_KEY, [(scope, key, number, until) for scope, key, until in wanted])
    return None


def owner_of_key(connection: Any, scope: str, key: str, now: float) -> int | None:
    """The number of the job that has the key; ``None`` if it is free."""
    found = connection.execute("SELECT job, until FROM keys WHERE scope = ? AND key = ?", (scope, key)).fetchall()
    if not found or (found[0][1] is not None and found[0][1] <= now):
        return None
    return int(found[0][0])


def _identity_of(connection: Any, number: int) -> tuple[int, str | None]:
    """The job's nonce, and its id if that was chosen; 0 for one whose record is gone, and whose key still holds."""
    for table in ("jobs", "history"):
        found = connection.execute(f"SELECT nonce, id FROM {table} WHERE number = ?", (number,)).fetchall()
        if found:
            return found[0][0], found[0][1]
    return 0, None
