"""`PostgresEngine`: the seam of `durable.engine.protocol` on a schema of functions in a PostgreSQL database.

Each method is one call of a function, so one round trip and one transaction. `sql/0001.sql` says what each does, and in
which order it locks; the files of `0002` replace some. Here is what stands around it: what is sent and what is made of
the answer (`rows`), where a claim begins to look (`claim_cursor`), when listeners are notified (`listen`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from steadypool.durable.engine import details
from steadypool.durable.engine.errors import EngineBusy, EngineRefused
from steadypool.durable.engine.job_json import as_json
from steadypool.durable.engine.limits import with_holders
from steadypool.durable.engine.pages import Dialect, list_jobs
from steadypool.durable.engine.postgres import caller_connection, rows, schema
from steadypool.durable.engine.postgres.batches import PostgresBatches
from steadypool.durable.engine.postgres.characters import text_of
from steadypool.durable.engine.postgres.claim import PostgresClaims
from steadypool.durable.engine.postgres.figures import PostgresFigures
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.postgres.limits import PostgresLimits
from steadypool.durable.engine.postgres.links import PostgresLinks
from steadypool.durable.engine.postgres.listen import NotifyThrottle, PostgresListener
from steadypool.durable.engine.postgres.notes import PostgresNotes
from steadypool.durable.engine.postgres.schedules import PostgresSchedules
from steadypool.durable.engine.postgres.session import Calls, Session, raise_if_for_key
from steadypool.durable.engine.protocol import Listener
from steadypool.durable.engine.records import (
    LONGEST_SECONDS,
    Change,
    ChangeKind,
    Claim,
    ClaimResult,
    EngineStats,
    EnqueueResult,
    JobFilter,
    JobKey,
    JobRecord,
    NewJob,
    Progress,
    QueueStats,
    Reconciled,
    Schema,
    Settlement,
    SweepResult,
    WorkerRow,
    parts_of_id,
    topics_of,
)
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.sweep_guard import ClockGuard, SweepTurn
from steadypool.durable.engine.url import PostgresAddress
from steadypool.model.clock import monotonic
from steadypool.model.queue_depth import MOST_COUNTED, QueueDepth
from steadypool.rules.claim_size import MOST_BYTES

Rows = list[Any]
Records = list[JobRecord]
TIMEOUT = 10.0
KEY_TIMEOUT = "20ms"
"""For a call that is not to wait for another's key: longer than another's commit takes, by and large."""
HELD_UP = 0.5
"""Seconds that a sweep may take to look for leases that have run out; see `SweepTurn`."""


class PostgresEngine(InSchema):
    """See `durable.engine.protocol.Engine`. The tables are made by `migrate` alone.

    Args:
        address: where the database is.
        session: the way to it, by default one of its own.
    """

    def __init__(self, address: PostgresAddress, session: Calls | None = None) -> None:
        self.url = address.url
        self._address = address
        super().__init__(Session(address, TIMEOUT) if session is None else session, address.schema)
        self.schedules = PostgresSchedules(self._session, address.schema)
        self.limits = PostgresLimits(self._session, address.schema)
        self._claims = PostgresClaims(self._session, address.schema)
        self.links = PostgresLinks(self._session, address.schema, self._claims)
        self.batches = PostgresBatches(self._session, address.schema, self._claims)
        self.notes = PostgresNotes(self._session, address.schema)
        self._throttle = NotifyThrottle()
        self._clock_guard = ClockGuard()
        self._lease = 15.0
        self._sweep_turn = SweepTurn(HELD_UP)
        self._pages = self._dialect(rows.RECORD)
        self._bare_pages = self._dialect(rows.BARE_RECORD)
        self.figures = PostgresFigures(self._session, address.schema, self._dialect, self._with_details)
        s = self._schema
        columns = (
            "%b::bytea[], %s::text[], %s::text[], %s::bigint[], %s::float8[], %s::float8[], %s::text[], %s::text[], "
            "%s::float8[], %s::float8[], %s::float8[], %b::bytea[], %s, %s::text"
        )
        self._put = f"SELECT * FROM {s}.put({columns})"
        self._put_more = f"SELECT * FROM {s}.put_jobs({columns}, %s::text[], %s::text[], %s::text[], %s::text[])"
        asked = "%s::bigint[], %s::bigint[], %s::int[], %s::bigint[], %b::bytea[], %s::text, %s, %s"
        # And whether it has let jobs go that waited for others.
        self._settle = (
            f"SELECT refused, current_setting('{s}.let_go', true) = 'yes' FROM {s}.settle({asked}) AS refused"
        )

    @property
    def timeout(self) -> float:
        """See `Engine.timeout`."""
        return self._session.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._session.timeout = seconds

    def take_advisory(self) -> str:
        """See `Engine.take_advisory`."""
        return ""

    # -- tables

    def schema(self) -> Schema:
        """See `Engine.schema`."""
        found, _ = self._session.has_tables()
        return Schema(found, schema.VERSION, schema.pending_steps(found, self._schema))

    def migrate(self) -> Schema:
        """See `Engine.migrate`."""
        found, did = self._session.migrate()
        return Schema(found, schema.VERSION, did)

    # -- putting

    def put_many(self, jobs: Sequence[NewJob], *, waits: bool = True) -> list[EnqueueResult]:
        """See `Engine.put_many`."""
        if not jobs:
            return []
        limit = None if waits else KEY_TIMEOUT
        notifies = self._throttle.must_notify(monotonic())
        try:
            placed = self._placed(jobs, notifies, limit)
        except EngineBusy as error:
            if not waits:
                raise_if_for_key(error, self.url)
            raise
        if not notifies and self._throttle.came_late(monotonic()) and self._throttle.must_notify(monotonic()):
            self._session.call("SELECT pg_notify(%s, '')", [f"{self._schema}.work"])
        return [*placed]

    def put_on(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """See `Engine.put_on`."""
        return caller_connection.put(connection, self._address, jobs)

    async def put_on_async(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """See `Engine.put_on_async`."""
        return await caller_connection.put_async(connection, self._address, jobs)

    # -- working

    def register(
        self, name: str, seconds: float, queues: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> int:
        """See `Engine.register`."""
        self._lease = max(self._lease, seconds)
        encoding = self._session.encoding
        told = [None if names is None else [text_of(one, encoding) for one in names] for names in (queues, tasks)]
        call = "register_for(%s, %s::float8, %s::text[], %s::text[])"
        [(number,)] = self._call(call, [text_of(name, encoding), seconds, *told])
        return int(number)

    def renew(self, worker: int, seconds: float) -> bool:
        """See `Engine.renew`."""
        self._lease = max(self._lease, seconds)
        [(alive,)] = self._call("renew(%s, %s::float8)", [worker, seconds])
        return bool(alive)

    def claim(
        self,
        worker: int,
        queues: Sequence[str],
        limit: int,
        settlements: Sequence[Settlement] = (),
        done: Sequence[int] = (),
        most_bytes: int = MOST_BYTES,
    ) -> ClaimResult:
        """See `Engine.claim`."""
        return self._claims.claim(worker, queues, limit, settlements, done, most_bytes)

    def claim_except(
        self, worker: int, queues: Sequence[str], limit: int, tasks: Collection[str], most_bytes: int = MOST_BYTES
    ) -> tuple[Claim, ...]:
        """See `Engine.claim_except`."""
        return self._claims.claim_except(worker, queues, limit, tasks, most_bytes)

    def reconcile(self, worker: int, known: Sequence[tuple[int, int]]) -> Reconciled:
        """See `Engine.reconcile`."""
        leases, numbers = rows.bigints(lease for lease, _ in known), rows.bigints(number for _, number in known)
        [(returned, lost, out)] = self._call("reconcile(%s, %s::bigint[], %s::bigint[])", [worker, leases, numbers])
        if returned:
            self._claims.look_soon()
        settled = frozenset(known) - rows.pairs(out)
        return Reconciled(returned, frozenset(lost), frozenset(one for one in settled if one[0] not in lost))

    def settle_many(self, settlements: Sequence[Settlement]) -> frozenset[tuple[int, int]]:
        """See `Engine.settle_many`."""
        if not settlements:
            return frozenset()
        values = rows.settle_values(settlements, self._session.encoding)
        [(refused, has_let_go)] = self._session.call(self._settle, [*values, *topics_of(settlements)])
        if has_let_go:
            self._claims.look_soon()
        self._claims.note_settled(settlements)
        return rows.pairs(refused)

    def report(self, worker: int, progress: Mapping[int, Progress]) -> None:
        """See `Engine.report`."""
        self._call("report(%s, %s)", [worker, json.dumps(dict(progress))])

    def leave(self, worker: int) -> None:
        """See `Engine.leave`."""
        self._call("leave(%s)", [worker])

    def sweep(self, max_losses: int) -> SweepResult:
        """See `Engine.sweep`."""
        began = monotonic()
        [(now, gone)] = self._session.call(
            f"SELECT extract(epoch FROM clock_timestamp())::float8, "
            f"EXISTS (SELECT FROM {self._schema}.worker_counts WHERE NOT alive)"
        )
        if not self._clock_guard.allows_sweep(now, monotonic(), self._lease) or not gone:
            return SweepResult()
        if not self._sweep_turn.may_sweep(monotonic() - began):
            return SweepResult()
        swept = self._call("sweep(%s)", [max_losses])
        self._claims.look_soon()
        return SweepResult(tuple(row[0] for row in swept), sum(row[1] for row in swept), sum(row[2] for row in swept))

    # -- one job

    def get(self, job_id: str) -> JobRecord | None:
        """See `Engine.get`."""
        number, nonce = parts_of_id(job_id)
        if number is None:
            number = self._number_of(job_id)
        if number is None:
            return None
        found = self._select(_LIVE_ONE, [number])
        # Looked at second: a job goes from one to the other, and back only by `retry`.
        found = found or self._select(_ENDED_ONE, [number])
        if not found:
            return None
        record = rows.record_saved(found[0])
        if nonce is not None and record.nonce != nonce:
            return None
        [record] = self._with_errors(self._with_details([record]))
        return record

    def not_ended(self, jobs: Sequence[JobKey]) -> frozenset[JobKey]:
        """See `Engine.not_ended`."""
        numbers = rows.bigints(number for number, _ in jobs)
        found = self._select("SELECT number, nonce FROM @.live WHERE number = ANY (%s::bigint[])", [numbers])
        return frozenset((number, nonce) for number, nonce in found) & frozenset(jobs)

    def cancel(self, number: int, nonce: int | None) -> JobState | None:
        """See `Engine.cancel`."""
        [(state,)] = self._call("cancel(%s, %s)", [number, nonce])
        return None if state is None else JobState(state)

    def cancel_chosen(self, job_id: str) -> JobState | None:
        """See `Engine.cancel_chosen`."""
        try:
            [(state,)] = self._call("cancel_chosen(%s)", [job_id])
        except EngineRefused:
            return None  # no text of this database: no job has it
        return None if state is None else JobState(state)

    def discard(self, number: int, nonce: int, reason: str) -> JobRecord | None:
        """See `Engine.discard`."""
        return self._change("discard(%s, %s, %s)", [number, nonce, text_of(reason, self._session.encoding)])

    def retry(self, number: int, nonce: int) -> JobRecord | None:
        """See `Engine.retry`."""
        self._claims.look_soon()
        return self._change("retry(%s, %s)", [number, nonce])

    # -- many jobs

    def find(self, which: JobFilter) -> Records:
        """See `Engine.find`."""
        return list_jobs(self._bare_pages, which)

    def change_many(self, change: ChangeKind, jobs: Sequence[JobKey], reason: str = "") -> list[Change]:
        """See `Engine.change_many`."""
        if change == "retry":
            self._claims.look_soon()
        numbers, nonces = rows.bigints(number for number, _ in jobs), rows.bigints(nonce for _, nonce in jobs)
        values = [change, numbers, nonces, text_of(reason, self._session.encoding)]
        found = self._call("change_many(%s, %s::bigint[], %s::bigint[], %s)", values)
        return [Change(number, JobState(was), changed) for number, was, changed in found if was is not None]

    def list(self, which: JobFilter) -> list[JobRecord]:
        """See `Engine.list`."""
        return self._with_details(list_jobs(self._pages, which))

    def stats(self) -> EngineStats:
        """See `Engine.stats`."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for queue, state, count in self._select("SELECT queue, state, count FROM @.queue_counts"):
            counts[queue][state] += count
        ages = dict(self._select("SELECT queue, seconds FROM @.queue_ages"))
        return EngineStats(
            tuple(_queue_stats(name, counts[name], ages.get(name)) for name in sorted(counts)),
            self.workers(),
        )

    def depths(self, queues: Sequence[str], most: int = MOST_COUNTED) -> Sequence[QueueDepth]:
        """See `Engine.depths`."""
        waiting = dict(self._call("waiting_depths(%s::text[], %s)", [list(queues), most]))
        found = self._call("depths(%s::text[], %s)", [list(queues), most])
        return [replace(QueueDepth(name, True, *counts), waiting=waiting.get(name, 0)) for name, *counts in found]

    def workers(self) -> tuple[WorkerRow, ...]:
        """See `Engine.workers`."""
        found = self._select("SELECT name, alive, running, since, queues FROM @.worker_counts ORDER BY since, number")
        return tuple(
            WorkerRow(name, alive, running, since.timestamp(), None if queues is None else tuple(queues))
            for name, alive, running, since, queues in found
        )

    def unknown_tasks(self, tasks: Collection[str]) -> frozenset[str]:
        """See `Engine.unknown_tasks`."""
        found = self._call("unknown_tasks(%s::text[])", [[text_of(task, self._session.encoding) for task in tasks]])
        return frozenset(name for [name] in found)

    def pause(self, queue: str, paused: bool) -> None:
        """See `Engine.pause`."""
        self._call("pause(%s, %s)", [queue, paused])

    def prune(self, limit: int) -> int:
        """See `Engine.prune`."""
        [(count,)] = self._call("prune(%s)", [limit])
        return int(count)

    # -- jobs of unknown tasks

    def set_aside(self, queues: Sequence[str], known: Collection[str], limit: int, seconds: float) -> Mapping[str, int]:
        """See `Engine.set_aside`."""
        values = [list(queues), list(known), limit, min(seconds, LONGEST_SECONDS)]
        return dict(self._call("set_aside(%s::text[], %s::text[], %s, %s::float8)", values))

    def recall(self, queues: Sequence[str], known: Collection[str], limit: int) -> int:
        """See `Engine.recall`."""
        [(count,)] = self._call("recall(%s::text[], %s::text[], %s)", [list(queues), list(known), limit])
        if count:
            self._claims.look_soon()
        return int(count)

    def give_up_unknown(self, limit: int, reason: str) -> Mapping[str, int]:
        """See `Engine.give_up_unknown`."""
        return dict(self._call("give_up_unknown(%s, %s)", [limit, reason]))

    # -- news, and the end

    def wake(self) -> None:
        """See `Engine.wake`. The server does so itself when a transaction of the caller's commits."""
        self._session.call("SELECT pg_notify(%s, '')", [f"{self._schema}.work"])

    def listener(self, topic: str) -> Listener:
        """See `Engine.listener`."""
        return PostgresListener(self._address, topic)

    def now(self) -> float:
        """See `Engine.now`."""
        [(now,)] = self._select("SELECT extract(epoch FROM @.engine_clock())::float8")
        return float(now)

    def move_clock(self, seconds: float) -> None:
        """See `Engine.move_clock`. By the owner of the tables."""
        self._call("move_clock(%s::float8)", [seconds])

    def close(self) -> None:
        """See `Engine.close`."""
        self._session.close()

    # -- parts

    def _placed(self, jobs: Sequence[NewJob], notifies: bool, limit: str | None) -> Sequence[EnqueueResult]:
        kind = rows.puts_by(jobs)
        if kind in rows.BY_JSON:
            found = self._call(f"{rows.BY_JSON[kind]}(%s, %s::text)", [as_json(jobs), limit])
            return rows.placed_each(found)
        values = [*rows.columns_of(jobs), notifies, limit]
        if kind == rows.PLAIN:
            [answer] = self._session.call(self._put, values)
        else:
            [answer] = self._session.call(self._put_more, [*values, *rows.more_columns_of(jobs)])
        return rows.placed_of(jobs, answer)

    def _change(self, function: str, values: Sequence[Any]) -> JobRecord | None:
        found = self._session.call(f"SELECT {rows.RECORD} FROM {self._schema}.{function}", values)
        return rows.record_of(found[0]) if found else None

    def _with_details(self, records: Sequence[JobRecord]) -> Records:
        """The records, with who runs them since when and how far, and why they failed last."""
        found = details.with_details(
            records,
            lambda running: self._select(_HOLDERS, [rows.bigints(running)]),
            lambda failed: (
                (job, rows.error_of(error)) for job, *error in self._select(_LAST_ERRORS, [rows.bigints(failed)])
            ),
        )
        return with_holders(self.limits, found)

    def _number_of(self, job_id: str) -> int | None:
        try:
            found = self._select("SELECT number FROM @.chosen_ids WHERE id = %s", [job_id])
        except EngineRefused:
            return None  # no text of this database: no job has it
        return int(found[0][0]) if found else None

    def _read(self, statement: str, values: Sequence[Any]) -> Rows:
        for name, view in _VIEWS.items():
            statement = statement.replace(name, view)
        return self._select(statement.replace("?", "%s"), values)

    def _dialect(self, columns: str) -> Dialect:
        def records(view: str, numbers: Sequence[int]) -> Records:
            statement = f"SELECT {columns} FROM @.{view} WHERE number = ANY (%s::bigint[])"
            return list(map(rows.record_of, self._select(statement, [rows.bigints(numbers)])))

        terms = (_IS_DUE, _IS_LATER, _AGO, _HAS_TAG, _HAS_ARGUMENT)
        return Dialect(self._read, *terms, partial(records, "live"), partial(records, "ended"))


_LIVE_ONE = (
    f"SELECT {rows.RECORD}, saved, saved_at FROM @.live LEFT JOIN @.saved_notes ON job = number WHERE number = %s"
)
_ENDED_ONE = f"SELECT {rows.RECORD}, NULL, NULL FROM @.ended WHERE number = %s"
_HOLDERS = (
    "SELECT number, name, extract(epoch FROM since)::float8, progress::text FROM @.held "
    "WHERE number = ANY (%s::bigint[])"
)
_LAST_ERRORS = (
    "SELECT DISTINCT ON (job) job, attempt, outcome, type_name, message, '', at, worker, started_at FROM @.job_errors "
    "WHERE job = ANY (%s::bigint[]) ORDER BY job, entry DESC"
)
_AGO = "@.statement_clock() - ? * interval '1 second'"
_HAS_ARGUMENT = "position(convert_to(?::text, 'UTF8') IN {name}.payload) > 0"
_HAS_TAG = "{name}.tags @> ARRAY[?]::text[]"
_IS_DUE = "s.due <= @.statement_clock() AND s.task IS NULL"
_IS_LATER = "(s.due > @.statement_clock() OR s.task IS NOT NULL)"
_VIEWS = {
    "@jobs": "@.listed_jobs",
    "@ready": "@.listed_ready",
    "@delayed": "@.listed_delayed",
    "@gated": "@.listed_gated",
    "@waiting": "@.listed_waiting",
    "@held": "@.held",
    "@history": "@.ended",
    "@errors": "@.job_errors",
}


def _queue_stats(name: str, counts: dict[str, int], oldest: float | None) -> QueueStats:
    counted = dict(counts)
    total, paused = counted.pop("total", 0), bool(counted.pop("paused", 0))
    waiting = sum(counted.get(state, 0) for state in ("available", "scheduled", "retryable", "waiting"))
    return QueueStats(
        name,
        paused,
        running=max(0, total - waiting),
        oldest_available=None if oldest is None else max(0.0, oldest),
        **counted,
    )
