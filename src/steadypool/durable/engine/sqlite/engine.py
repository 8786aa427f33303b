"""`SqliteEngine`: the seam of `durable.engine.protocol` on one SQLite file.

Each method is one transaction of `sqlite.store`; what it does is written in the module of its kind (`put`, `claim`,
`settle`, `read`). News go out after the commit (`sqlite.notify`).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from steadypool.durable.engine.errors import EngineError, EngineRefused, SchemaMismatch
from steadypool.durable.engine.limits import with_holders
from steadypool.durable.engine.pages import Dialect, list_jobs
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
    Reconciled,
    Schema,
    Settlement,
    SweepResult,
    WorkerRow,
)
from steadypool.durable.engine.sqlite import (
    aside,
    caller_connection,
    change,
    claim,
    copies,
    depths,
    held,
    put,
    read,
    schema,
    settle,
)
from steadypool.durable.engine.sqlite.batch_store import SqliteBatches
from steadypool.durable.engine.sqlite.clock import NOW, move, now_of, read_clock
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug, sqlite_version
from steadypool.durable.engine.sqlite.figures import SqliteFigures
from steadypool.durable.engine.sqlite.limits import SqliteLimits
from steadypool.durable.engine.sqlite.links import SqliteLinks
from steadypool.durable.engine.sqlite.next_jobs import SqliteClaims
from steadypool.durable.engine.sqlite.notes import SqliteNotes, with_checkpoint
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.rows import BARE_HISTORY, BARE_LIVE, HISTORY, LIVE
from steadypool.durable.engine.sqlite.schedules import SqliteSchedules
from steadypool.durable.engine.sqlite.store import Store, Transactions
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.sweep_guard import SweepTurn
from steadypool.durable.engine.url import SqliteAddress
from steadypool.model.queue_depth import MOST_COUNTED, QueueDepth
from steadypool.rules.claim_size import MOST_BYTES

Records = list[JobRecord]
TIMEOUT = 10.0
HELD_UP = 0.25
"""Seconds that a sweep may wait for its turn to write; see `SweepTurn`."""
_ADVISED = "advised"
"""Among the counters: the advisory was taken."""
_IS_DUE, _IS_LATER = f"s.due <= {NOW} AND s.task IS NULL", f"(s.due > {NOW} OR s.task IS NOT NULL)"
_HAS_TAG = "EXISTS (SELECT 1 FROM json_each({name}.tags) t WHERE t.value = ?)"
_HAS_ARGUMENT = "instr(CAST({name}.payload AS TEXT), ?) > 0"
_ERRORS = "(SELECT rowid AS entry, job, type_name FROM errors)"
_HELD = (
    "(SELECT DISTINCT o.number FROM leases l, json_each(l.jobs) h JOIN jobs o ON o.number = json_extract(h.value, "
    "'$[0]') AND o.returns = json_extract(h.value, '$[1]') - 1)"
)
_TABLES = {
    "@jobs": "jobs",
    "@ready": "ready",
    "@delayed": "delayed",
    "@gated": "gated",
    "@waiting": "(SELECT job AS number FROM waiting)",
    "@held": _HELD,
    "@history": "history",
    "@errors": _ERRORS,
}


class SqliteEngine:
    """See `durable.engine.protocol.Engine`. Makes its tables on its own when it first writes to an empty file.

    Args:
        address: where the file is.
        store: the way to it, by default one of its own.
    """

    def __init__(self, address: SqliteAddress, store: Transactions | None = None) -> None:
        self.url = address.url
        self._store = Store(address, TIMEOUT) if store is None else store
        self._bells = Bells(self._store.path)
        self.schedules = SqliteSchedules(self._store, self._bells)
        self.limits = SqliteLimits(self._store, self._bells)
        self.links = SqliteLinks(self._store, self._bells)
        self.batches = SqliteBatches(self._store, self._bells)
        self.notes = SqliteNotes(self._store)
        self._claims = SqliteClaims(self._store, self._bells)
        self._sweep_turn = SweepTurn(HELD_UP)
        self._advised = False
        self._pages = self._dialect(LIVE, HISTORY)
        self._bare_pages = self._dialect(BARE_LIVE, BARE_HISTORY)
        self.figures = SqliteFigures(self._store, self._dialect, self._with_details)

    @property
    def timeout(self) -> float:
        """See `Engine.timeout`."""
        return self._store.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._store.timeout = seconds

    @property
    def advisory(self) -> str:
        """What `take_advisory` gives: whether the library has the WAL-reset bug."""
        version = sqlite_version(self._store.address.driver)
        if not has_wal_reset_bug(version):
            return ""
        return (
            f"SQLite {'.'.join(map(str, version))} can damage a file that several programs write to at a time. The "
            f"processes of this queue take turns, and are safe; let nothing else write to {self._store.path}, "
            "connection=... included, or use ?driver=apsw (pip install 'steadypool[apsw]'), or SQLite 3.51.3"
        )

    def take_advisory(self) -> str:
        """See `Engine.take_advisory`."""
        if not self.advisory:
            return ""
        with self._store.look() as connection:
            if connection.execute("SELECT 1 FROM counters WHERE name = ?", (_ADVISED,)).fetchall():
                return ""
        with self._store.write() as connection:
            connection.execute("INSERT OR IGNORE INTO counters VALUES (?, 1)", (_ADVISED,))
            [[is_first]] = connection.execute("SELECT changes()").fetchall()
        return self.advisory if is_first else ""

    # -- the file

    def back_up(self, target: str) -> int:
        """See `copies.back_up`."""
        return copies.back_up(self._store, target)

    def compact(self) -> tuple[int, int]:
        """See `copies.compact`."""
        return copies.compact(self._store)

    # -- tables

    def schema(self) -> Schema:
        """See `Engine.schema`."""
        try:
            with self._store.look() as connection:
                found = schema.found_version(connection)
        except SchemaMismatch:
            found = 0  # there is no file yet
        return Schema(found, schema.VERSION, schema.pending_statements(found))

    def migrate(self) -> Schema:
        """See `Engine.migrate`."""
        with self._store.write(make_tables=False) as connection:
            found = schema.found_version(connection)
            if found > schema.VERSION:
                raise SchemaMismatch(
                    f"the tables in {self._store.path} have version {found}, later than the {schema.VERSION} that this "
                    "Steadypool knows: use a later Steadypool"
                )
            return Schema(found, schema.VERSION, schema.apply_pending(connection, found))

    # -- putting

    def put_many(self, jobs: Sequence[NewJob], *, waits: bool = True) -> list[EnqueueResult]:
        """See `Engine.put_many`."""
        if not jobs:
            return []
        try:
            with self._store.write() as connection:
                placed = put.put(connection, jobs, now_of(connection))
        except EngineError as error:
            error.nothing_happened = not self._store.committing
            raise
        self._bells.ring("work")
        return placed

    def put_on(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """See `Engine.put_on`."""
        caller_connection.check_connection(connection, self._store.address.driver, self._store.path)
        if self.advisory and not self._advised:
            self._advised = True
            warnings.warn(self.advisory, RuntimeWarning, stacklevel=3)
        with caller_connection.transaction(connection):
            return put.put(connection, jobs, now_of(connection))

    async def put_on_async(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """See `Engine.put_on_async`. A connection to a file is none of asyncio's: its statements take microseconds."""
        return self.put_on(connection, jobs)

    # -- working

    def register(
        self, name: str, seconds: float, queues: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> int:
        """See `Engine.register`."""
        with self._store.write() as connection:
            return claim.register(connection, name, seconds, read_clock(), (queues, tasks))

    def renew(self, worker: int, seconds: float) -> bool:
        """See `Engine.renew`."""
        with self._store.write() as connection:
            return claim.renew(connection, worker, seconds, read_clock())

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
        return self._claims.claim(worker, claim.Wanted(queues, limit, most_bytes), settlements, done)

    def claim_except(
        self, worker: int, queues: Sequence[str], limit: int, tasks: Collection[str], most_bytes: int = MOST_BYTES
    ) -> tuple[Claim, ...]:
        """See `Engine.claim_except`."""
        return self._claims.claim_except(worker, claim.Wanted(queues, limit, most_bytes, tasks))

    def reconcile(self, worker: int, known: Sequence[tuple[int, int]]) -> Reconciled:
        """See `Engine.reconcile`."""
        with self._store.look() as connection:
            found = settle.compare(connection, worker, known)
        if found.leases or found.out:
            with self._store.write() as connection:
                found = settle.compare(connection, worker, known)
                settle.put_back_held(connection, found.out.items(), now_of(connection))
                settle.drop_leases(connection, worker, found.leases, now_of(connection))
            self._bells.ring("work")
        return Reconciled(len(found.out), found.lost, found.settled)

    def settle_many(self, settlements: Sequence[Settlement]) -> frozenset[tuple[int, int]]:
        """See `Engine.settle_many`."""
        return self._claims.settle_many(settlements)

    def report(self, worker: int, progress: Mapping[int, Progress]) -> None:
        """See `Engine.report`."""
        with self._store.write() as connection:
            held.report(connection, worker, dict(progress))

    def leave(self, worker: int) -> None:
        """See `Engine.leave`."""
        with self._store.write() as connection:
            claim.leave(connection, worker)

    def sweep(self, max_losses: int) -> SweepResult:
        """See `Engine.sweep`."""
        with self._store.look() as connection:
            if not claim.expired(connection, read_clock()):
                return SweepResult()
        with self._store.write() as connection:
            if not self._sweep_turn.may_sweep(self._store.waited):
                return SweepResult()
            gone = claim.expired(connection, read_clock())
            taken = [settle.take_back(connection, number, max_losses, now_of(connection)) for number, _ in gone]
        self._bells.ring("work", "ends")
        return SweepResult(
            tuple(name for _, name in gone), sum(back for back, _ in taken), sum(lost for _, lost in taken)
        )

    # -- one job

    def get(self, job_id: str) -> JobRecord | None:
        """See `Engine.get`."""
        try:
            with self._store.look() as connection:
                record = read.record_by_id(connection, job_id, now_of(connection))
                if record is None:
                    return None
                [record] = held.with_errors(connection, held.with_details(connection, [record]))
                record = with_checkpoint(connection, record)
        except EngineRefused:
            return None  # no text that could be kept: no job has it
        return with_holders(self.limits, [record])[0]

    def not_ended(self, jobs: Sequence[JobKey]) -> frozenset[JobKey]:
        """See `Engine.not_ended`."""
        with self._store.peek() as connection:
            return read.not_ended(connection, jobs)

    def cancel(self, number: int, nonce: int | None) -> JobState | None:
        """See `Engine.cancel`."""
        with self._store.look() as connection:
            if read.record_of(connection, number, nonce, now_of(connection)) is None:
                return None  # and no file is made where there is none
        with self._store.write() as connection:
            state = change.cancel(connection, number, nonce, now_of(connection))
        if state is not None:
            self._bells.ring("work" if state is JobState.RUNNING else "ends")
        return state

    def cancel_chosen(self, job_id: str) -> JobState | None:
        """See `Engine.cancel_chosen`."""
        found = self.get(job_id)
        return None if found is None else self.cancel(found.number, found.nonce)

    def discard(self, number: int, nonce: int, reason: str) -> JobRecord | None:
        """See `Engine.discard`."""
        with self._store.write() as connection:
            found = change.discard(connection, number, nonce, reason, now_of(connection))
        self._bells.ring("ends")
        return found

    def retry(self, number: int, nonce: int) -> JobRecord | None:
        """See `Engine.retry`."""
        with self._store.write() as connection:
            found = change.retry(connection, number, nonce, now_of(connection))
        self._bells.ring("work")
        return found

    # -- many jobs

    def find(self, which: JobFilter) -> list[JobRecord]:
        """See `Engine.find`."""
        return list_jobs(self._bare_pages, which)

    def change_many(self, kind: ChangeKind, jobs: Sequence[JobKey], reason: str = "") -> list[Change]:
        """See `Engine.change_many`."""
        with self._store.write() as connection:
            changes = change.change_many(connection, kind, jobs, reason, now_of(connection))
        self._bells.ring("work", "ends")
        return changes

    def list(self, which: JobFilter) -> list[JobRecord]:
        """See `Engine.list`."""
        return self._with_details(list_jobs(self._pages, which))

    def stats(self) -> EngineStats:
        """See `Engine.stats`."""
        with self._store.look() as connection:
            return read.stats(connection, read_clock(), now_of(connection))

    def depths(self, queues: Sequence[str], most: int = MOST_COUNTED) -> Sequence[QueueDepth]:
        """See `Engine.depths`."""
        with self._store.look() as connection:
            return depths.read(connection, queues, now_of(connection), most)

    def workers(self) -> tuple[WorkerRow, ...]:
        """See `Engine.workers`."""
        with self._store.look() as connection:
            return read.worker_rows(connection, read_clock())

    def unknown_tasks(self, tasks: Collection[str]) -> frozenset[str]:
        """See `Engine.unknown_tasks`."""
        with self._store.look() as connection:
            return read.unknown_tasks(connection, tasks, read_clock())

    def pause(self, queue: str, paused: bool) -> None:
        """See `Engine.pause`."""
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO queues VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
                (queue, int(paused)),
            )
        if not paused:
            self._bells.ring("work")

    def prune(self, limit: int) -> int:
        """See `Engine.prune`."""
        with self._store.look() as connection:
            if not read.has_something_to_prune(connection, now_of(connection)):
                return 0
        with self._store.write() as connection:
            return read.prune(connection, limit, now_of(connection))

    # -- jobs of unknown tasks

    def set_aside(self, queues: Sequence[str], known: Collection[str], limit: int, seconds: float) -> Mapping[str, int]:
        """See `Engine.set_aside`."""
        with self._store.write() as connection:
            return aside.set_aside(connection, queues, known, limit, now_of(connection) + min(seconds, LONGEST_SECONDS))

    def recall(self, queues: Sequence[str], known: Collection[str], limit: int) -> int:
        """See `Engine.recall`."""
        with self._store.look() as connection:
            if not aside.known_among(connection, known):
                return 0
        with self._store.write() as connection:
            return aside.recall(connection, queues, aside.known_among(connection, known), limit)

    def give_up_unknown(self, limit: int, reason: str) -> Mapping[str, int]:
        """See `Engine.give_up_unknown`."""
        with self._store.look() as connection:
            if not aside.is_something_to_give_up(connection, now_of(connection)):
                return {}
        with self._store.write() as connection:
            given_up = aside.give_up(connection, limit, reason, now_of(connection))
        self._bells.ring("ends")
        return given_up

    # -- news, and the end

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._bells.ring("work")

    def listener(self, topic: str) -> Listener:
        """See `Engine.listener`."""
        return self._bells.listen(topic)

    def now(self) -> float:
        """See `Engine.now`."""
        with self._store.peek() as connection:
            return now_of(connection)

    def move_clock(self, seconds: float) -> None:
        """See `Engine.move_clock`."""
        with self._store.write() as connection:
            move(connection, seconds)

    def close(self) -> None:
        """See `Engine.close`."""
        self._store.close()
        self._bells.close()

    # -- pages of lists

    def _read(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        for name, table in _TABLES.items():
            statement = statement.replace(name, table)
        with self._store.peek() as connection:
            rows: Sequence[Any] = connection.execute(statement, values).fetchall()
            return rows

    def _with_details(self, records: Sequence[JobRecord]) -> Records:
        """The records, with who runs them since when and how far, why they failed last, and what holds them back."""
        with self._store.look() as connection:
            records = held.with_details(connection, records)
        return with_holders(self.limits, records)

    def _dialect(self, live: str, ended: str) -> Dialect:
        def live_jobs(numbers: Sequence[int]) -> Sequence[JobRecord]:
            with self._store.peek() as connection:
                return read.live_jobs(connection, numbers, now_of(connection), live)

        def ended_jobs(numbers: Sequence[int]) -> Sequence[JobRecord]:
            with self._store.peek() as connection:
                return read.ended_jobs(connection, numbers, ended)

        return Dialect(self._read, _IS_DUE, _IS_LATER, f"{NOW} - ?", _HAS_TAG, _HAS_ARGUMENT, live_jobs, ended_jobs)
