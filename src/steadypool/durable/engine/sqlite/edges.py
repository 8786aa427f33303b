"""Statements about jobs that wait for others. Each works in the transaction that its connection is in.

An **edge** says that ``job`` waits for ``before``. A job with an open edge stands in ``waiting``, and nowhere else.
Only one transaction writes at a time, so the one that ends a job sees all that wait for it: there is no race to close.
What is left to do later is marked by an edge that is not **checked**, and done by `tend`, which a worker calls each
second:

* more wait for one job than one transaction is to let go (`RELEASED_AT_ONCE`);
* a job was given up, and what needs its success ends as cancelled, with the id in the reason; then what waits for that;
* a job runs again by hand, and brings back more of those that were cancelled for it than one transaction is to.

The record of ``before`` is kept as long as there is an edge: edges go when ``job`` has completed, or its record is
pruned. On PostgreSQL the same is in `sql/0002_links.sql`, with the races that it closes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from steadypool.durable.engine.links import Unmet, unknown_before
from steadypool.durable.engine.records import EnqueueResult, JobKey, NewJob, parts_of_id, public_id
from steadypool.durable.engine.sqlite.gates import make_available
from steadypool.durable.engine.sqlite.rows import AMONG, as_json, exists, rows_of
from steadypool.durable.engine.states import JobState

RELEASED_AT_ONCE = 5000
"""Edges in one transaction."""
_LIVES = "EXISTS (SELECT 1 FROM jobs j WHERE j.number = e.before)"
_IS_MET = (
    f"NOT {_LIVES} AND (e.needs = 'end' OR coalesce((SELECT h.state FROM history h WHERE h.number = e.before), "
    "'completed') = 'completed')"
)
_MARK_ONE = (
    "UPDATE edges SET checked = 0 WHERE before = ? AND job = "
    "(SELECT min(job) FROM edges WHERE before = ? AND state = 'open')"
)


def is_any(connection: Any) -> bool:
    """Whether any job has waited for another: all else here is for those who use that."""
    return exists(connection, "edges")


# -- to put


def link(connection: Any, jobs: Sequence[NewJob], placed: Sequence[EnqueueResult]) -> None:
    """Have those of these jobs wait that were put, and are to.

    Raises:
        UnknownJob: for a job that is not there; then none of them is to be.
    """
    keys: dict[str, JobKey] = {}
    rows: list[tuple[int, int, int, int, str]] = []
    for at, (job, own) in enumerate(zip(jobs, placed, strict=True)):
        for place, before in enumerate(job.after, 1):
            if isinstance(before, int):
                number, nonce = placed[at + before][:2]
            else:
                number, nonce = keys[before] if before in keys else keys.setdefault(before, _known(connection, before))
            if own.enqueued:
                rows.append((number, own.number, nonce, place, job.needs))
    connection.executemany("INSERT OR IGNORE INTO edges VALUES (?, ?, ?, ?, ?, 'open', 1)", rows)
    mine = as_json({row[1] for row in rows})
    connection.execute(f"UPDATE edges AS e SET state = 'met' WHERE job {AMONG} AND {_IS_MET}", (mine,))
    # What needs one that was given up is left to `tend`.
    gone = f"UPDATE edges AS e SET checked = 0 WHERE job {AMONG} AND state = 'open' AND NOT {_LIVES}"
    connection.execute(gone, (mine,))
    _wait(connection, mine)


def _wait(connection: Any, numbers: str) -> None:
    """Take those of these jobs from where they stand that have open edges."""
    found = connection.execute(f"SELECT DISTINCT job FROM edges WHERE job {AMONG} AND state = 'open'", (numbers,))
    waiting = as_json(number for [number] in found.fetchall())
    connection.execute(
        "INSERT INTO waiting SELECT w.value, d.due FROM json_each(?) w LEFT JOIN delayed d ON d.number = w.value",
        (waiting,),
    )
    connection.execute(f"DELETE FROM delayed WHERE number {AMONG}", (waiting,))
    connection.execute(f"DELETE FROM gated WHERE number {AMONG}", (waiting,))
    connection.execute(
        f"DELETE FROM ready WHERE (queue, rank, number) IN (SELECT queue, rank, number FROM jobs WHERE number {AMONG})",
        (waiting,),
    )


def _known(connection: Any, before: str) -> JobKey:
    found = _key_of(connection, before)
    if found is None:
        raise unknown_before(before)
    return found


def _key_of(connection: Any, job_id: str) -> JobKey | None:
    number, nonce = parts_of_id(job_id)
    if number is None:
        found = connection.execute("SELECT job FROM keys WHERE scope = '' AND key = ?", (job_id,)).fetchall()
        if not found:
            return None
        number = found[0][0]
    found = connection.execute(
        "SELECT nonce FROM jobs WHERE number = ? UNION ALL SELECT nonce FROM history WHERE number = ?", (number, number)
    ).fetchall()
    return (number, found[0][0]) if found and nonce in (None, found[0][0]) else None


# -- jobs have ended


def needed_among(connection: Any, numbers: Collection[int]) -> set[int]:
    """Those of these jobs for which others wait, or have waited: their records are needed."""
    found = connection.execute(f"SELECT DISTINCT before FROM edges WHERE before {AMONG}", (as_json(numbers),))
    return {number for [number] in found.fetchall()}


def end(connection: Any, completed: Collection[int], given_up: Collection[int], now: float) -> bool:
    """These jobs have ended: let go what waits for them and needs no more. What needs more is left to `tend`.

    Returns:
        Whether any was let go.
    """
    connection.execute(f"DELETE FROM edges WHERE job {AMONG}", (as_json(completed),))
    released = release(connection, [*completed, *given_up], now)
    connection.executemany(_MARK_ONE, [(number, number) for number in given_up])
    return released > 0


def release(connection: Any, ended: Collection[int], now: float) -> int:
    """Let go what waits for these, which have ended, and needs no more; how many edges. The rest is left to `tend`."""
    numbers = as_json(ended)
    found = connection.execute(
        f"SELECT e.before, e.job FROM edges e WHERE e.before {AMONG} AND e.state = 'open' AND {_IS_MET} "
        "ORDER BY e.before, e.job LIMIT ?",
        (numbers, RELEASED_AT_ONCE),
    ).fetchall()
    if not found:
        return 0
    connection.executemany("UPDATE edges SET state = 'met', checked = 1 WHERE before = ? AND job = ?", found)
    _free(connection, {job for _, job in found}, now)
    if len(found) == RELEASED_AT_ONCE:
        rest = connection.execute(
            f"SELECT DISTINCT before FROM edges WHERE before {AMONG} AND state = 'open'", (numbers,)
        ).fetchall()
        connection.executemany(_MARK_ONE, [(number, number) for [number] in rest])
    return len(found)


def _free(connection: Any, jobs: Collection[int], now: float) -> None:
    """Let those of these jobs run that wait for nothing any more."""
    free = connection.execute(
        f"DELETE FROM waiting WHERE job {AMONG} AND NOT EXISTS "
        "(SELECT 1 FROM edges e WHERE e.job = waiting.job AND e.state = 'open') RETURNING job, due",
        (as_json(jobs),),
    ).fetchall()
    later = [(due, job) for job, due in free if due is not None and due > now]
    connection.executemany("INSERT INTO delayed (due, number, retry) VALUES (?, ?, 0)", later)
    make_available(connection, sorted({job for job, _ in free} - {job for _, job in later}))


# -- jobs are there again


def has_failed(connection: Any, number: int) -> bool:
    """Whether a job was cancelled since it needed others that are still given up."""
    return exists(connection, "edges WHERE job = ? AND state = 'failed'", (number,))


def wait_again(connection: Any, number: int) -> bool:
    """A job is there again that was given up: what waits for it is looked at, and what it waits for, if anything.

    Returns:
        Whether it waits.
    """
    connection.execute("UPDATE edges SET state = 'open', checked = 0 WHERE before = ? AND state = 'failed'", (number,))
    connection.execute("UPDATE edges SET checked = 0 WHERE job = ? AND state = 'open'", (number,))
    if not exists(connection, "edges WHERE job = ? AND state = 'open'", (number,)):
        return False
    connection.execute("INSERT INTO waiting VALUES (?, NULL)", (number,))
    return True


# -- what is left to do


def is_something_left(connection: Any) -> bool:
    """Whether `next_unchecked` would find anything."""
    return exists(connection, "edges WHERE NOT checked")


def next_unchecked(connection: Any, limit: int) -> list[int]:
    """Jobs for which others wait that are to be looked at."""
    found = connection.execute("SELECT DISTINCT before FROM edges WHERE NOT checked ORDER BY before LIMIT ?", (limit,))
    return [number for [number] in found.fetchall()]


def check_living(connection: Any, numbers: Collection[int]) -> list[int]:
    """Mark edges of those of these jobs that live as checked; which jobs were cancelled for them, and may come back."""
    living = rows_of(connection, list(numbers)).keys()
    jobs = cancelled_for(connection, living)
    connection.execute(f"UPDATE edges SET checked = 1 WHERE before {AMONG} AND NOT checked", (as_json(living),))
    return jobs


def cancelled_for(connection: Any, numbers: Collection[int]) -> list[int]:
    """Jobs that were cancelled for these, which live again, and may come back."""
    found = connection.execute(
        "SELECT DISTINCT h.number FROM edges e JOIN history h ON h.number = e.job "
        f"WHERE e.before {AMONG} AND e.state = 'open' AND h.state = 'cancelled' AND h.reason LIKE 'needed %' "
        "AND NOT EXISTS (SELECT 1 FROM edges x WHERE x.job = h.number AND x.state = 'failed')",
        (as_json(numbers),),
    )
    return [number for [number] in found.fetchall()]


def unmet(connection: Any, numbers: Collection[int], limit: int) -> list[tuple[int, Unmet | None]]:
    """Mark edges as failed whose jobs need the success of one of these, which were given up: so many at most.

    Returns:
        The jobs, which are to be cancelled and why; ``None`` for one that does not wait any more.
    """
    found = connection.execute(
        f"SELECT e.before, e.job, h.state, h.nonce, h.id, j.nonce, j.id, j.task, j.queue FROM edges e "
        "JOIN history h ON h.number = e.before "
        "LEFT JOIN waiting w ON w.job = e.job LEFT JOIN jobs j ON j.number = w.job "
        f"WHERE e.before {AMONG} AND e.state = 'open' AND e.needs <> 'end' AND h.state <> 'completed' "
        f"AND NOT {_LIVES} ORDER BY e.before, e.job LIMIT ?",
        (as_json(numbers), limit),
    ).fetchall()
    connection.executemany(
        "UPDATE edges SET state = 'failed', checked = 1 WHERE before = ? AND job = ?", [row[:2] for row in found]
    )
    jobs: dict[int, Unmet | None] = {}
    for before, job, state, nonce, chosen, own_nonce, own_id, task, queue in found:
        if task is None:
            jobs.setdefault(job, None)
        elif jobs.get(job) is None:
            needed = public_id(before, nonce, chosen)
            jobs[job] = Unmet(public_id(job, own_nonce, own_id), task, queue, needed, JobState(state))
    connection.executemany(_MARK_ONE, [(number, number) for number in numbers])
    return list(jobs.items())


def keep_needed(connection: Any, numbers: Collection[int], now: float) -> set[int]:
    """Of records whose time is over, those that are needed yet: they have time again, more of it the longer they are
    kept. What the others waited for is forgotten."""
    if not is_any(connection):
        return set()
    needed = needed_among(connection, numbers)
    connection.execute(
        f"UPDATE history SET keep_until = ? + max((? - ended_at) / 2, 5.0) WHERE number {AMONG}",
        (now, now, as_json(needed)),
    )
    connection.execute(f"DELETE FROM edges WHERE job {AMONG}", (as_json(set(numbers) - needed),))
    return needed
