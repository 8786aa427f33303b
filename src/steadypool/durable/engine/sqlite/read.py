"""Statements that only look, and those that tidy up."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from steadypool.durable.engine.figures import KEEP_MINUTES
from steadypool.durable.engine.records import (
    EngineStats,
    JobKey,
    JobRecord,
    QueueStats,
    WorkerRow,
    parts_of_id,
)
from steadypool.durable.engine.sqlite import batches, depths, edges, gates
from steadypool.durable.engine.sqlite.clock import Moment
from steadypool.durable.engine.sqlite.put import IDS
from steadypool.durable.engine.sqlite.rows import (
    AMONG,
    HISTORY,
    LIVE,
    LIVE_FROM,
    as_json,
    ended_record,
    exists,
    live_record,
)

ALL = 2**62
"""As a bound of what is counted: there is none."""
_COUNTED = ("paused", "scheduled", "waiting", "available", "running", "retryable")


def record_by_id(connection: Any, job_id: str, now: float) -> JobRecord | None:
    """The job that has this id, without its errors."""
    number, nonce = parts_of_id(job_id)
    if number is None:
        found = connection.execute("SELECT job FROM keys WHERE scope = ? AND key = ?", (IDS, job_id)).fetchall()
        number = int(found[0][0]) if found else None
    return None if number is None else record_of(connection, number, nonce, now)


def record_of(connection: Any, number: int, nonce: int | None, now: float) -> JobRecord | None:
    """The job of that number and nonce (``None``: whichever), without its errors."""
    found = connection.execute(f"SELECT {LIVE} FROM {LIVE_FROM} WHERE j.number = ?", (number,)).fetchall()
    if found:
        record = live_record(found[0], now)
    else:
        found = connection.execute(f"SELECT {HISTORY} FROM history WHERE number = ?", (number,)).fetchall()
        if not found:
            return None
        record = ended_record(found[0])
    return record if nonce is None or record.nonce == nonce else None


def not_ended(connection: Any, jobs: Sequence[JobKey]) -> frozenset[JobKey]:
    """Which of these jobs are there and have not ended."""
    found = connection.execute(
        f"SELECT number, nonce FROM jobs WHERE number {AMONG}",
        (as_json(number for number, _ in jobs),),
    )
    return frozenset((number, nonce) for number, nonce in found.fetchall()) & frozenset(jobs)


def live_jobs(connection: Any, numbers: Sequence[int], now: float, columns: str = LIVE) -> list[JobRecord]:
    """Those of these numbers that have not ended."""
    found = connection.execute(f"SELECT {columns} FROM {LIVE_FROM} WHERE j.number {AMONG}", (as_json(numbers),))
    return [live_record(row, now) for row in found.fetchall()]


def ended_jobs(connection: Any, numbers: Sequence[int], columns: str = HISTORY) -> list[JobRecord]:
    """Those of these numbers that have ended."""
    found = connection.execute(f"SELECT {columns} FROM history WHERE number {AMONG}", (as_json(numbers),))
    return [ended_record(row) for row in found.fetchall()]


def stats(connection: Any, moment: Moment, now: float) -> EngineStats:
    """Queues, by the engine's clock, and workers."""
    ended: dict[str, dict[str, Any]] = defaultdict(dict)
    for queue, state, count in connection.execute(
        "SELECT queue, state, count(*) FROM history GROUP BY queue, state"
    ).fetchall():
        ended[queue][state] = count
    others = connection.execute("SELECT queue FROM jobs UNION SELECT name FROM queues WHERE paused").fetchall()
    names = sorted(ended.keys() | {name for [name] in others})
    return EngineStats(
        tuple(
            QueueStats(
                depth.name,
                **{name: getattr(depth, name) for name in _COUNTED},
                **ended[depth.name],
                oldest_available=depth.oldest_available or None,
            )
            for depth in depths.read(connection, names, now, ALL)
        ),
        worker_rows(connection, moment),
    )


_ALIVE = "CASE WHEN w.boot = ? THEN w.steady_until >= ? ELSE w.wall_until >= ? END"


def unknown_tasks(connection: Any, tasks: Collection[str], now: Moment) -> frozenset[str]:
    """Which of these no live worker knows."""
    found = connection.execute(
        f"WITH alive AS MATERIALIZED (SELECT w.number, w.tasks FROM workers w WHERE {_ALIVE}) "
        "SELECT t.value FROM json_each(?) t WHERE EXISTS (SELECT 1 FROM alive) "
        "AND NOT EXISTS (SELECT 1 FROM alive WHERE tasks IS NULL) "
        "AND t.value NOT IN (SELECT k.value FROM alive, json_each(alive.tasks) k)",
        (now.boot, now.steady, now.wall, as_json(tasks)),
    )
    return frozenset(name for [name] in found.fetchall())


def worker_rows(connection: Any, now: Moment) -> tuple[WorkerRow, ...]:
    """Who works, and how much each holds."""
    rows = connection.execute(
        f"SELECT w.name, {_ALIVE}, "
        "(SELECT count(*) FROM leases l, json_each(l.jobs) h JOIN jobs j ON j.number = json_extract(h.value, '$[0]') "
        "AND j.returns = json_extract(h.value, '$[1]') - 1 WHERE l.worker = w.number), w.since, w.queues "
        "FROM workers w ORDER BY w.since, w.number",
        (now.boot, now.steady, now.wall),
    )
    return tuple(
        WorkerRow(name, bool(alive), running, since, None if queues is None else tuple(json.loads(queues)))
        for name, alive, running, since, queues in rows.fetchall()
    )


def prune(connection: Any, limit: int, now: float) -> int:
    """Delete records and keys whose time is over."""
    rows = connection.execute(
        "SELECT number, id FROM history WHERE keep_until <= ? ORDER BY keep_until LIMIT ?", (now, limit)
    ).fetchall()
    found = len(rows)
    if rows:
        numbers_due = [number for number, _ in rows]
        needed = edges.keep_needed(connection, numbers_due, now) | batches.keep_members(connection, numbers_due, now)
        rows = [row for row in rows if row[0] not in needed]
    numbers = as_json(number for number, _ in rows)
    if rows:
        connection.execute(f"DELETE FROM errors WHERE job {AMONG}", (numbers,))
        connection.execute(f"DELETE FROM history WHERE number {AMONG}", (numbers,))
        chosen = [(IDS, job_id, number) for number, job_id in rows if job_id is not None]
        connection.executemany("DELETE FROM keys WHERE scope = ? AND key = ? AND job = ?", chosen)
    gates.forget_idle(connection, now)
    keys = connection.execute(
        "SELECT scope, key FROM keys WHERE until IS NOT NULL AND until <= ? LIMIT ?", (now, max(0, limit - found))
    ).fetchall()
    connection.executemany("DELETE FROM keys WHERE scope = ? AND key = ?", keys)
    connection.execute("DELETE FROM batches WHERE keep_until <= ?", (now,))
    connection.execute("DELETE FROM minutes WHERE minute <= ?", (now - KEEP_MINUTES,))
    return found + len(keys)


def has_something_to_prune(connection: Any, now: float) -> bool:
    """Whether `prune` would find anything."""
    return (
        exists(connection, "history WHERE keep_until <= ?", (now,))
        or exists(connection, "keys WHERE until IS NOT NULL AND until <= ?", (now,))
        or exists(connection, "minutes WHERE minute <= ?", (now - KEEP_MINUTES,))
        or gates.has_idle(connection, now)
    )
