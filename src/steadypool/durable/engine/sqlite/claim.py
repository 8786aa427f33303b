"""Statements by which workers come, claim and go. Each works in the transaction that its connection is in."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from steadypool.durable.engine.nonces import random_number
from steadypool.durable.engine.records import LOOKED_PAST, Claim, public_id
from steadypool.durable.engine.sqlite.clock import Moment
from steadypool.durable.engine.sqlite.gates import make_available
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists
from steadypool.durable.engine.turns import Turn

PROMOTED_AT_ONCE = 1000
"""Delayed jobs that one claim makes available at most, so that a flood of them does not make one long transaction."""
CANCELS_AT_ONCE = 1000
COLUMNS = (
    "r.rank, j.number, j.nonce, j.id, j.returns, j.attempt, j.crashes, j.losses, j.task, j.payload, j.options, "
    "j.expires_at"
)
"""What a claim is made of, as `claims_of` takes it."""
_CLAIM = f"""SELECT {COLUMNS} FROM ready r JOIN jobs j ON j.number = r.number WHERE r.queue = ?
    ORDER BY r.rank, r.number LIMIT ?"""
_CLAIM_EXCEPT = f"""SELECT {COLUMNS}
    FROM (SELECT rank, number FROM ready WHERE queue = ? ORDER BY rank, number LIMIT ?) r
    JOIN jobs j ON j.number = r.number WHERE j.task NOT {AMONG}
    ORDER BY r.rank, r.number LIMIT ?"""
PAYLOAD = 9
"""Its place in such a row."""
_TAKEN = "DELETE FROM ready WHERE queue = ? AND (rank, number) >= (?, ?) AND (rank, number) <= (?, ?)"
_TAKEN_ONE = "DELETE FROM ready WHERE queue = ? AND rank = ? AND number = ?"


class Wanted(NamedTuple):
    """What a worker would claim."""

    queues: Sequence[str]
    limit: int
    most_bytes: int
    others_than: Collection[str] = ()
    """Jobs of these tasks are left where they are."""


def register(connection: Any, name: str, seconds: float, now: Moment, told: Sequence[Sequence[str] | None]) -> int:
    """Add a worker; *told*: the names of its queues, and of the tasks that it knows."""
    number = random_number()
    ends = (now.boot, now.steady + seconds, now.wall + seconds)
    row = number, name, now.wall, *ends, *(None if names is None else as_json(names) for names in told)
    connection.execute("INSERT INTO workers VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)", row)
    return number


def renew(connection: Any, worker: int, seconds: float, now: Moment) -> bool:
    """Have its leases hold for longer; whether it is still registered."""
    if not is_registered(connection, worker):
        return False
    connection.execute(
        "UPDATE workers SET boot = ?, steady_until = ?, wall_until = ? WHERE number = ?",
        (now.boot, now.steady + seconds, now.wall + seconds, worker),
    )
    return True


def is_registered(connection: Any, worker: int) -> bool:
    """Whether the worker was not swept."""
    return exists(connection, "workers WHERE number = ?", (worker,))


def expired(connection: Any, now: Moment) -> list[tuple[int, str]]:
    """Number and name of the workers whose leases have run out.

    By the clock that only runs forward; by the wall clock if the machine was started anew since.
    """
    found = connection.execute(
        "SELECT number, name FROM workers WHERE (boot = ? AND steady_until < ?) OR (boot <> ? AND wall_until < ?)",
        (now.boot, now.steady, now.boot, now.wall),
    )
    return [(number, name) for number, name in found.fetchall()]


def something_to_do(connection: Any, queues: Sequence[str], now: float) -> bool:
    """Whether a claim would find anything: asked without writing, so that an idle worker does not."""
    is_ready = (exists(connection, "ready WHERE queue = ?", (queue,)) for queue in open_ones(connection, queues))
    return any(is_ready) or is_something_due(connection, now)


def is_something_due(connection: Any, now: float) -> bool:
    """Whether delayed jobs are to be made available."""
    return exists(connection, "delayed WHERE due <= ? AND task IS NULL", (now,))


def promote(connection: Any, now: float) -> None:
    """Make delayed jobs available whose time has come."""
    due = connection.execute(
        "SELECT due, number FROM delayed WHERE due <= ? AND task IS NULL ORDER BY due, number LIMIT ?",
        (now, PROMOTED_AT_ONCE),
    ).fetchall()
    if due:
        make_available(connection, [number for _, number in due])
        connection.executemany("DELETE FROM delayed WHERE due = ? AND number = ?", due)


def next_due(connection: Any, now: float) -> float | None:
    """Seconds until the next delayed job may run."""
    found = connection.execute("SELECT due, task FROM delayed ORDER BY due LIMIT 1").fetchall()
    if not found or found[0][1] is not None:  # a job that is set aside is due in a month: then there is time to look
        return None
    return max(0.0, float(found[0][0]) - now)


def wanted_cancels(connection: Any) -> tuple[tuple[int, int], ...]:
    """Running jobs that are to be cancelled."""
    found = connection.execute("SELECT job, nonce FROM cancels LIMIT ?", (CANCELS_AT_ONCE,)).fetchall()
    return tuple((number, nonce) for number, nonce in found)


def claim(connection: Any, worker: int, wanted: Wanted, now: float) -> tuple[list[Claim], bool]:
    """Claim these jobs under one new lease; and whether there may be more."""
    claims: list[Claim] = []
    lease, limit, left = random_number(), wanted.limit, wanted.most_bytes
    for queue in open_ones(connection, wanted.queues):
        if len(claims) < limit and left > 0:
            rows = _rows_of(connection, queue, wanted._replace(limit=limit - len(claims), most_bytes=left))
            left -= sum(len(row[PAYLOAD]) for row in rows)
            _take_out(connection, queue, rows, bool(wanted.others_than))
            claims += claims_of(queue, rows, lease, now)
    if claims:
        add_lease(connection, worker, lease, claims, now)
    return claims, len(claims) == limit or left <= 0


def add_lease(connection: Any, worker: int, lease: int, claims: Sequence[Claim], now: float) -> None:
    """Write down what was claimed."""
    numbers = [claim.number for claim in claims]
    held = json.dumps([(claim.number, claim.token) for claim in claims])
    values = (lease, worker, min(numbers), max(numbers), held, now)
    connection.execute("INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)", values)


def open_ones(connection: Any, queues: Sequence[str]) -> list[str]:
    """Those of these queues that are not paused."""
    paused = {name for [name] in connection.execute("SELECT name FROM queues WHERE paused").fetchall()}
    return [queue for queue in queues if queue not in paused]


def is_there(connection: Any, wanted: Wanted) -> bool:
    """Whether there is any of these."""
    one = wanted._replace(limit=1)
    return any(_rows_of(connection, queue, one) for queue in open_ones(connection, wanted.queues))


def _rows_of(connection: Any, queue: str, wanted: Wanted) -> list[Any]:
    """The first of the queue; read one by one, and not further than there is use for them."""
    rows: list[Any] = []
    most_bytes = wanted.most_bytes
    if wanted.others_than:
        cursor = connection.execute(_CLAIM_EXCEPT, (queue, LOOKED_PAST, as_json(wanted.others_than), wanted.limit))
    else:
        cursor = connection.execute(_CLAIM, (queue, wanted.limit))
    for row in cursor:
        rows.append(row)
        most_bytes -= len(row[PAYLOAD])
        if most_bytes <= 0:
            break
    cursor.close()
    return rows


def _take_out(connection: Any, queue: str, rows: Sequence[Any], one_by_one: bool) -> None:
    if one_by_one:
        connection.executemany(_TAKEN_ONE, [(queue, *row[:2]) for row in rows])
    elif rows:
        connection.execute(_TAKEN, (queue, *rows[0][:2], *rows[-1][:2]))


def claims_of(queue: str, rows: Sequence[Any], lease: int, now: float, turn: Turn | None = None) -> list[Claim]:
    """The claims that these rows are; of jobs that have waited for their *turn*, if there is one."""
    return [
        Claim(
            number,
            nonce,
            public_id(number, nonce, chosen),
            returns + 1,
            lease,
            attempt + 1,
            crashes,
            losses,
            task,
            queue,
            payload,
            options,
            None if expires is None else expires - now,
            turn,
        )
        for _, number, nonce, chosen, returns, attempt, crashes, losses, task, payload, options, expires in rows
    ]


def leases_of(connection: Any, worker: int) -> dict[int, dict[int, int]]:
    """What the worker holds: for each lease, number and token of its jobs, those that are settled included."""
    found = connection.execute("SELECT number, jobs FROM leases WHERE worker = ?", (worker,)).fetchall()
    return {number: dict(json.loads(jobs)) for number, jobs in found}


def leave(connection: Any, worker: int) -> None:
    """Forget the worker if it holds nothing."""
    if not exists(connection, "leases WHERE worker = ?", (worker,)):
        connection.execute("DELETE FROM workers WHERE number = ?", (worker,))
