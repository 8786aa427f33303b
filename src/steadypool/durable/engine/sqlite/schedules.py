"""`SqliteSchedules`: see `durable.engine.schedules`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from steadypool.durable.engine.records import EnqueueResult, NewJob
from steadypool.durable.engine.schedules import DueSchedules, Fired, Firing, NewSchedule, ScheduleRow
from steadypool.durable.engine.sqlite import change, put
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.rows import exists
from steadypool.durable.engine.sqlite.store import Transactions

_COLUMNS = (
    "name, origin = 'code', app, release, definition, job, hash, due, last_due, last_job, last_skip, last_skip_at, "
    "fired, skipped, paused, retired_at"
)
_ACTIVE = "NOT paused AND retired_at IS NULL AND (origin = 'data' OR name IN (SELECT value FROM json_each(?)))"
_FIRED = (
    "UPDATE schedules SET due = ?, last_due = coalesce(max(coalesce(last_due, ?), ?), last_due), fired = fired + ?, "
    "skipped = skipped + ?, last_skip = coalesce(?, last_skip), last_skip_at = coalesce(?, last_skip_at), "
    "last_job = coalesce(?, last_job), last_number = coalesce(?, last_number), last_nonce = coalesce(?, last_nonce) "
    "WHERE name = ?"
)


class SqliteSchedules:
    """The schedules in one file."""

    def __init__(self, store: Transactions, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    def get(self, names: Sequence[str]) -> list[ScheduleRow]:
        """See `ScheduleStore.get`."""
        wanted = json.dumps(list(names))
        return self._read("name IN (SELECT value FROM json_each(?)) ORDER BY name", (wanted,))

    def page(self, after: str, limit: int, *, in_code: bool = False) -> list[ScheduleRow]:
        """See `ScheduleStore.page`."""
        which = "origin = 'code' AND name > ?" if in_code else "name > ?"
        return self._read(f"{which} ORDER BY name LIMIT ?", (after, limit))

    def put(self, new: NewSchedule, due: float | None = None) -> str:
        """See `ScheduleStore.put`."""
        with self._store.write() as connection:
            return _put(connection, new, due, now_of(connection))

    def due(self, declared: Sequence[str], limit: int, skip: int = 0) -> DueSchedules:
        """See `ScheduleStore.due`."""
        names = json.dumps(list(declared))
        with self._store.look() as connection:
            now = now_of(connection)
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM schedules WHERE {_ACTIVE} AND due <= ? ORDER BY due LIMIT ? OFFSET ?",
                (names, now, limit, skip),
            ).fetchall()
            later = connection.execute(
                f"SELECT due FROM schedules WHERE {_ACTIVE} AND due > ? ORDER BY due LIMIT 1", (names, now)
            ).fetchall()
        rows = tuple(map(_row, found))
        return DueSchedules(now, rows, 0.0 if len(rows) == limit else later[0][0] - now if later else None)

    def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """See `ScheduleStore.fire`."""
        with self._store.write() as connection:
            now = now_of(connection)
            fired = _fire(connection, firings, now)
        if any(one.jobs for one in fired):
            self._bells.ring("work")
        return fired

    def pause(self, name: str, due: float | None) -> bool:
        """See `ScheduleStore.pause`."""
        with self._store.write() as connection:
            if due is None:
                connection.execute("UPDATE schedules SET paused = 1 WHERE name = ? AND NOT paused", (name,))
            else:
                connection.execute("UPDATE schedules SET paused = 0, due = ? WHERE name = ? AND paused", (due, name))
            return _has_changed(connection)

    def remove(self, name: str) -> bool:
        """See `ScheduleStore.remove`."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM schedules WHERE name = ?", (name,))
            return _has_changed(connection)

    def seen(self, app: str, names: Sequence[str], seconds: float) -> list[str]:
        """See `ScheduleStore.seen`."""
        values = (app, json.dumps(list(names)))
        old = "origin = 'code' AND app = ? AND retired_at IS NULL AND name {} IN (SELECT value FROM json_each(?)) AND "
        mine, others = old.format("") + "seen_at < ?", old.format("NOT") + "seen_at < ?"
        with self._store.look() as connection:
            now = now_of(connection)
            is_mine_old = exists(connection, f"schedules WHERE {mine}", (*values, now - seconds / 3))
            if not is_mine_old and not exists(connection, f"schedules WHERE {others}", (*values, now - seconds)):
                return []
        with self._store.write() as connection:
            connection.execute(f"UPDATE schedules SET seen_at = ? WHERE {mine}", (now, *values, now))
            found = connection.execute(f"SELECT name FROM schedules WHERE {others}", (*values, now - seconds))
            names_gone = [name for [name] in found.fetchall()]
            connection.execute(f"UPDATE schedules SET retired_at = ? WHERE {others}", (now, *values, now - seconds))
        return names_gone

    def _read(self, which: str, values: Sequence[Any]) -> list[ScheduleRow]:
        with self._store.peek() as connection:
            return list(map(_row, connection.execute(f"SELECT {_COLUMNS} FROM schedules WHERE {which}", values)))


def _row(values: Sequence[Any]) -> ScheduleRow:
    row = ScheduleRow(*values)
    return row._replace(in_code=bool(row.in_code), paused=bool(row.paused))


def _has_changed(connection: Any) -> bool:
    return bool(connection.execute("SELECT changes()").fetchall()[0][0])


def _put(connection: Any, new: NewSchedule, due: float | None, now: float) -> str:
    origin = "code" if new.in_code else "data"
    found = connection.execute(
        "SELECT origin, hash, due, retired_at FROM schedules WHERE name = ?", (new.name,)
    ).fetchall()
    if not found:
        connection.execute(
            "INSERT INTO schedules (name, origin, app, release, definition, job, hash, due, seen_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (new.name, origin, new.app, new.release, new.definition, new.job, new.hash, new.due, now),
        )
        return "made"
    [(known, hash, known_due, retired)] = found
    if known == "code" and not new.in_code and retired is None:
        return "code"
    if (known, hash, retired) == (origin, new.hash, None):
        connection.execute(
            "UPDATE schedules SET app = ?, release = ?, seen_at = ? WHERE name = ?",
            (new.app, new.release, now, new.name),
        )
        return "same"
    if due is not None and due != known_due:
        return "moved"
    connection.execute(
        "UPDATE schedules SET origin = ?, app = ?, release = ?, definition = ?, job = ?, hash = ?, due = ?, "
        "seen_at = ?, retired_at = NULL WHERE name = ?",
        (origin, new.app, new.release, new.definition, new.job, new.hash, new.due, now, new.name),
    )
    return "changed"


@dataclass(slots=True)
class _Firing:
    """One that is as it was read, and what comes of it."""

    asked: Firing
    jobs: tuple[NewJob, ...]
    skipped: int
    skips: list[str]
    put: list[EnqueueResult] = field(default_factory=list)

    def take(self, placed: EnqueueResult) -> None:
        """What became of its next job."""
        if placed.enqueued:
            self.put.append(placed)
        else:
            self.skipped += 1
            self.skips.append(f"{placed.id} has its id or unique key")

    def values(self, now: float) -> tuple[Any, ...]:
        """For `_FIRED`."""
        last = self.put[-1] if self.put else None
        skip, at = (self.skips[-1], now) if self.skips else (None, None)
        latest = (None, None, None) if last is None else (last.id, last.number, last.nonce)
        due = (self.asked.new_due, self.asked.last_due, self.asked.last_due)
        return (*due, len(self.put), self.skipped, skip, at, *latest, self.asked.name)


def _fire(connection: Any, firings: Sequence[Firing], now: float) -> list[Fired]:
    """The jobs of all are put together, and each row is written once."""
    begun = [one for firing in firings if (one := _begin(connection, firing, now)) is not None]
    jobs = [job for one in begun for job in one.jobs]
    placed = iter(put.put(connection, jobs, now) if jobs else ())
    for one in begun:
        for _ in one.jobs:
            one.take(next(placed))
    connection.executemany(_FIRED, [one.values(now) for one in begun])
    return [Fired(one.asked.name, tuple(job.id for job in one.put), tuple(one.skips)) for one in begun]


def _begin(connection: Any, firing: Firing, now: float) -> _Firing | None:
    may = "" if firing.by_hand else " AND NOT paused AND retired_at IS NULL"
    which = f"name = ? AND due = ? AND hash = ?{may}"
    found = connection.execute(
        f"SELECT last_job, last_number, last_nonce FROM schedules WHERE {which}",
        (firing.name, firing.due, firing.hash),
    ).fetchall()
    if not found:
        return None
    one = _Firing(firing, firing.jobs, firing.skipped, [firing.reason] if firing.skipped else [])
    [(job_id, number, nonce)] = found
    if one.jobs and firing.overlap != "allow" and _is_alive(connection, number, nonce):
        if firing.overlap == "replace":
            change.cancel(connection, number, nonce, now)
        else:
            one.jobs = ()
            one.skipped += 1
            one.skips.append(f"overlap: {job_id} has not ended")
    return one


def _is_alive(connection: Any, number: int, nonce: int) -> bool:
    return exists(connection, "jobs WHERE number = ? AND nonce = ?", (number, nonce))
