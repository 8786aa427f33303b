"""Statements about jobs whose task no worker has known so far. Each works in the transaction of its connection.

They stand in ``delayed`` with their task: out of the way of claims, found by that name when a worker comes that knows
it, and due when they are to be given up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from steadypool.durable.engine.sqlite.gates import make_available
from steadypool.durable.engine.sqlite.rows import exists, rows_of
from steadypool.durable.engine.sqlite.settle import remove_waiting
from steadypool.durable.engine.states import JobState

_HEAD = """SELECT r.rank, r.number, j.task FROM ready r JOIN jobs j ON j.number = r.number
    WHERE r.queue = ? ORDER BY r.rank, r.number LIMIT ?"""
_WAITING = """SELECT due, number, queue, rank FROM delayed
    WHERE task IS NOT NULL AND task = ? AND queue IN (SELECT value FROM json_each(?)) ORDER BY rank, number LIMIT ?"""


def set_aside(
    connection: Any, queues: Sequence[str], known: Collection[str], limit: int, until: float
) -> Mapping[str, int]:
    """Those among the first of each queue whose task is not known wait until then; how many of each task."""
    counts: Counter[str] = Counter()
    for queue in queues:
        found = [row for row in connection.execute(_HEAD, (queue, limit)).fetchall() if row[2] not in known]
        connection.executemany(
            "DELETE FROM ready WHERE queue = ? AND rank = ? AND number = ?",
            [(queue, rank, number) for rank, number, _ in found],
        )
        connection.executemany(
            "INSERT INTO delayed (due, number, retry, task, queue, rank) VALUES (?, ?, 0, ?, ?, ?)",
            [(until, number, task, queue, rank) for rank, number, task in found],
        )
        counts.update(task for _, _, task in found)
    return counts


def known_among(connection: Any, known: Collection[str]) -> list[str]:
    """The tasks that jobs wait for and that are known."""
    tasks: list[str] = []
    found = [("",)]
    while found:
        found = connection.execute(
            "SELECT task FROM delayed WHERE task IS NOT NULL AND task > ? ORDER BY task LIMIT 1", found[0]
        ).fetchall()
        tasks += [task for [task] in found if task in known]
    return tasks


def recall(connection: Any, queues: Sequence[str], tasks: Sequence[str], limit: int) -> int:
    """Make jobs of these tasks available again, so many at most; how many it were."""
    names, count = json.dumps(list(queues)), 0
    for task in tasks:
        found = connection.execute(_WAITING, (task, names, limit - count)).fetchall()
        make_available(connection, [row[1] for row in found])
        connection.executemany("DELETE FROM delayed WHERE due = ? AND number = ?", [row[:2] for row in found])
        count += len(found)
    return count


def is_something_to_give_up(connection: Any, now: float) -> bool:
    """Whether `give_up` would find anything."""
    return exists(connection, "delayed WHERE task IS NOT NULL AND due <= ?", (now,))


def give_up(connection: Any, limit: int, reason: str, now: float) -> Mapping[str, int]:
    """Discard those that have waited for long enough; how many of each task."""
    found = connection.execute(
        "SELECT number, task FROM delayed WHERE task IS NOT NULL AND due <= ? ORDER BY due LIMIT ?", (now, limit)
    ).fetchall()
    rows = rows_of(connection, [number for number, _ in found])
    for number, _ in found:
        remove_waiting(connection, rows[number], JobState.DISCARDED, now, reason)
    return Counter(task for _, task in found)
