"""Statements by which a job leaves its claim, or the queue. Each works in the transaction that its connection is in.

Rows are read first, in one statement; what becomes of each is decided in Python; what follows is written in a few
statements for all of them. No other connection writes meanwhile: that is what the transaction is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from steadypool.durable.engine.job_json import from_kept_for_discard
from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.records import KEEP_GIVEN_UP, AttemptError, NewJob, Settlement, Verdict, public_id
from steadypool.durable.engine.sqlite import batches, behind, edges, gates, notes
from steadypool.durable.engine.sqlite.claim import leases_of
from steadypool.durable.engine.sqlite.put import IDS, put
from steadypool.durable.engine.sqlite.rows import AMONG, Row, as_json, exists, rows_of
from steadypool.durable.engine.states import JobState

_COMPLETED = """INSERT INTO history SELECT number, nonce, id, queue, task, rank, ?, ?, ?, returns + 1, enqueued_at,
    keep, unique_key, unique_held, NULL, NULL, ?, ?, ?, ?, ?, tags, gates, batch, NULL, lane, ?, ?
    FROM jobs WHERE number = ?"""
_GIVEN_UP = """INSERT INTO history SELECT number, nonce, id, queue, task, rank, ?, ?, ?, returns + 1, enqueued_at,
    keep, unique_key, unique_held, options, payload, ?, ?, ?, ?, ?, tags, gates, batch, on_discarded, lane, ?, ?
    FROM jobs WHERE number = ?"""
_BACK = "UPDATE jobs SET attempt = ?, crashes = ?, losses = ?, returns = returns + 1 WHERE number = ?"
_ERROR = "INSERT INTO errors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
Run = tuple[str | None, float | None]
"""Who ran an attempt, and since when."""
NO_RUN: Run = (None, None)


@dataclass(slots=True)
class Changes:
    """What is to be written at the end."""

    now: float
    completed: list[tuple[Any, ...]] = field(default_factory=list)
    given_up: list[tuple[Any, ...]] = field(default_factory=list)
    """Discarded or cancelled: their arguments are kept, for they may be run again by hand."""
    gone: list[tuple[int]] = field(default_factory=list)
    """Rows of jobs to delete."""
    forgotten: list[tuple[int]] = field(default_factory=list)
    """Of those, the ones that leave no record."""
    back: list[tuple[int, int, int, int]] = field(default_factory=list)
    available: list[int] = field(default_factory=list)
    given_back: list[int] = field(default_factory=list)
    """Of those that come back, the ones that have not started after all."""
    turns: list[tuple[str, str, int]] = field(default_factory=list)
    """Jobs that have other gates, or another lane, from now on."""
    aside: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Of the delayed, those that no worker so far can run."""
    delayed: list[tuple[float, int, bool]] = field(default_factory=list)
    keys: list[behind.Key] = field(default_factory=list)
    held_keys: list[behind.Key] = field(default_factory=list)
    """Of those, the unique ones that were held until the end."""
    discarded: dict[int, str] = field(default_factory=dict)
    """Of those that have ended, why they will not run again."""
    errors: list[tuple[Any, ...]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    """What those that come back have saved."""
    batches: dict[int, batches.Change] = field(default_factory=dict)
    """What has ended of each batch."""
    needed: set[int] = field(default_factory=set)
    """Jobs whose records others need."""
    has_edges: bool | None = None
    """Whether any job waits for another; ``None``: it was not looked up."""
    let_go: bool = False
    """Jobs that have waited for these may run."""

    # -- what becomes of one job

    def complete(self, row: Row, run: Run, result: bytes | None, crashed: int) -> None:
        """It has returned: what nearly every job does."""
        if row.unique_held:
            self.held_keys.append((row.task, row.unique_key or "", row.number))
        if row.batch is not None:
            self._count(row.batch, JobState.COMPLETED)
        self.gone.append((row.number,))
        if row.keep <= 0 and row.number not in self.needed:
            self._forget(row)
            return
        counts = row.attempt + 1, row.crashes + crashed, row.losses
        state, until = JobState.COMPLETED.value, self.now + row.keep
        self.completed.append((*counts, state, self.now, until, result, "", *run, row.number))

    def end(self, row: Row, state: JobState, run: Run, reason: str = "") -> None:
        """It was given up, with the counts of *row*."""
        if row.unique_held:
            self.held_keys.append((row.task, row.unique_key or "", row.number))
        if state is JobState.DISCARDED:
            self.discarded[row.number] = reason
        if row.batch is not None:
            self._count(row.batch, state)
        self.gone.append((row.number,))
        counts, until = (row.attempt, row.crashes, row.losses), self.now + max(row.keep, KEEP_GIVEN_UP)
        self.given_up.append((*counts, state.value, self.now, until, None, reason, *run, row.number))

    def _count(self, batch: int, state: JobState) -> None:
        self.batches[batch] = self.batches.get(batch, batches.Change()).more(state)

    def _forget(self, row: Row) -> None:
        self.forgotten.append((row.number,))
        if row.id is not None:
            self.keys.append((IDS, row.id, row.number))

    def put_back(self, row: Row, delay: float, *, again: bool) -> None:
        """It comes back from a claim, with the counts of *row*, and may be claimed again in *delay* seconds."""
        self.back.append((row.attempt, row.crashes, row.losses, row.number))
        if delay > 0:
            self.delayed.append((self.now + delay, row.number, again))
            return
        self.available.append(row.number)
        if not again:
            self.given_back.append(row.number)

    def note(self, number: int, error: AttemptError | None, run: Run) -> None:
        """Record why an attempt failed."""
        if error is not None:
            what = (error.outcome, error.type_name, error.message, error.traceback)
            self.errors.append((number, error.attempt, self.now, *what, *run))

    # -- all at once

    def write(self, connection: Any) -> None:
        """Write it all."""
        following = _following(connection, self.discarded)
        _many(connection, _COMPLETED, self.completed)
        _many(connection, _GIVEN_UP, self.given_up)
        _many(connection, "DELETE FROM jobs WHERE number = ?", self.gone)
        _many(connection, _BACK, self.back)
        _many(connection, "UPDATE jobs SET gates = ?, lane = ? WHERE number = ?", self.turns)
        if exists(connection, "holders"):  # a job has a place of a gate
            gates.free(connection, [row[-1] for row in (*self.gone, *self.back)], self.given_back)
        if self.available:
            gates.make_available(connection, self.available)
        _many(connection, "INSERT INTO delayed (due, number, retry) VALUES (?, ?, ?)", self.delayed)
        _many(connection, "UPDATE delayed SET task = ?, queue = ?, rank = ? WHERE number = ?", self.aside)
        _many(connection, "DELETE FROM keys WHERE scope = ? AND key = ? AND job = ?", self.keys)
        _many(connection, _ERROR, self.errors)
        notes.keep(connection, self.notes, self.now)
        if self.gone:
            notes.forget(connection, [number for (number,) in self.gone])
        _many(connection, "DELETE FROM errors WHERE job = ?", self.forgotten)
        behind.hand_on(connection, self.held_keys, self.now)
        if self.gone and (edges.is_any(connection) if self.has_edges is None else self.has_edges):
            given_up = {row[-1] for row in self.given_up}
            self.let_go = edges.end(connection, {number for (number,) in self.gone} - given_up, given_up, self.now)
        following += batches.change(connection, self.batches, self.now)
        if following:
            put(connection, following, self.now)
            self.let_go = True


def settle(connection: Any, settlements: Sequence[Settlement], now: float) -> tuple[frozenset[tuple[int, int]], bool]:
    """Settle what still holds; returns ``(number, lease)`` of what does not, and whether jobs may run now that waited
    for these."""
    if not settlements:
        return frozenset(), False
    runs = _runs_of(connection, {s.claim.lease for s in settlements})
    rows = rows_of(connection, [s.claim.number for s in settlements])
    cancels = cancelled_among(connection, rows)
    changes = Changes(now)
    changes.has_edges = edges.is_any(connection)
    if changes.has_edges:
        changes.needed = edges.needed_among(connection, rows)
    refused = set()
    for settlement in settlements:
        claim = settlement.claim
        row = rows.pop(claim.number, None)  # out: the same claim a second time is too late
        if row is None or row.returns != claim.token - 1 or claim.lease not in runs:
            refused.add((claim.number, claim.lease))
            if row is not None:
                rows[claim.number] = row
        else:
            _apply(changes, row, settlement, runs[claim.lease], row.number in cancels)
    changes.write(connection)
    forget_cancels(connection, cancels - rows.keys())
    return frozenset(refused), changes.let_go


def _apply(changes: Changes, row: Row, settlement: Settlement, run: Run, cancelled: bool) -> None:
    verdict = settlement.verdict
    if cancelled and verdict.puts_back:
        verdict = Verdict.CANCEL  # it was to be cancelled, and the worker has not heard: it must not run again
    if verdict is Verdict.COMPLETE:
        changes.complete(row, run, settlement.result, settlement.crashed)
        return
    if verdict is not Verdict.RETURN:
        row = row._replace(attempt=row.attempt + 1, crashes=row.crashes + settlement.crashed)
    changes.note(row.number, settlement.error, run)
    if settlement.turn is not None:
        changes.turns.append((*settlement.turn, row.number))
    if settlement.aside and verdict.puts_back:
        changes.aside.append((row.task, row.queue, row.rank, row.number))
    if verdict.puts_back:
        changes.put_back(row, settlement.delay, again=verdict is Verdict.RETRY)
        changes.notes += [settlement.note] if settlement.note is not None else []
    elif verdict is Verdict.DISCARD:
        changes.end(row, JobState.DISCARDED, run, reason=settlement.reason)
    else:
        changes.end(row, JobState.CANCELLED, run)


def take_back(connection: Any, worker: int, max_losses: int, now: float) -> tuple[int, int]:
    """A worker is gone: put back what it held; returns how many jobs came back, and how many were lost too often."""
    changes = Changes(now)
    leases = connection.execute("SELECT number, jobs FROM leases WHERE worker = ?", (worker,)).fetchall()
    runs = _runs_of(connection, [lease for lease, _ in leases])
    lease_of = {number: lease for lease, jobs in leases for number, _ in json.loads(jobs)}
    rows = still_out(connection, [pair for _, jobs in leases for pair in json.loads(jobs)])
    cancels = cancelled_among(connection, rows)
    for number, row in rows.items():
        _lose(changes, row, runs[lease_of[number]], max_losses, number in cancels)
    changes.write(connection)
    forget_cancels(connection, cancels)
    connection.execute("DELETE FROM leases WHERE worker = ?", (worker,))
    connection.execute("DELETE FROM workers WHERE number = ?", (worker,))
    return len(changes.back), len(changes.gone)


def drop_leases(connection: Any, worker: int, leases: Sequence[int], now: float) -> int:
    """The worker holds nothing under these. What is still out under them is put back, and counted: the store has
    gone back behind its settlement, or the answer that told of the claim was lost."""
    back = 0
    for lease in leases:
        which = (lease, worker)
        # Mostly nothing is left between the lowest and the highest: that is quicker to see than each of them.
        found = connection.execute(
            "SELECT jobs FROM leases WHERE number = ? AND worker = ? "
            "AND EXISTS (SELECT 1 FROM jobs WHERE jobs.number BETWEEN lowest AND highest)",
            which,
        ).fetchall()
        back += sum(put_back_held(connection, json.loads(jobs), now) for [jobs] in found)
        connection.execute("DELETE FROM leases WHERE number = ? AND worker = ?", which)
    return back


class Differences(NamedTuple):
    """Between what a worker knows that it holds, and what the tables say."""

    lost: frozenset[int]
    """Leases that it knows, and that are no more."""
    leases: tuple[int, ...]
    """Its leases that it does not know."""
    out: dict[int, int]
    """Jobs that are out under its leases without its knowing, with their tokens."""
    settled: frozenset[tuple[int, int]]
    """What it knows under other leases than the lost, and is not out any more: ``(lease, number)``."""


def compare(connection: Any, worker: int, known: Iterable[tuple[int, int]]) -> Differences:
    """Compare what the worker knows, ``(lease, number)`` each, with the tables."""
    known = frozenset(known)
    leases = {lease for lease, _ in known}
    held = leases_of(connection, worker)
    rows = rows_of(connection, [number for jobs in held.values() for number in jobs])
    out = {
        (lease, number): token
        for lease, jobs in held.items()
        for number, token in jobs.items()
        if number in rows and rows[number].returns == token - 1
    }
    lost = frozenset(leases - held.keys())
    settled = frozenset(claim for claim in known if claim[0] not in lost and claim not in out)
    strange = {number: token for (lease, number), token in out.items() if (lease, number) not in known}
    return Differences(lost, tuple(held.keys() - leases), strange, settled)


def put_back_held(connection: Any, held: Iterable[tuple[int, int]], now: float) -> int:
    """Put those of these jobs back, attempts included, that are out under these tokens; returns how many."""
    rows = still_out(connection, held)
    if not rows:
        return 0
    changes = Changes(now)
    for row in rows.values():
        changes.put_back(row, 0.0, again=False)
    changes.write(connection)
    return len(changes.back)


def still_out(connection: Any, held: Iterable[tuple[int, int]]) -> dict[int, Row]:
    """Those of these jobs, by number and token, that have neither ended nor come back."""
    latest: dict[int, int] = {}
    for number, token in held:
        latest[number] = max(token, latest.get(number, 0))
    rows = rows_of(connection, list(latest))
    return {number: row for number, row in rows.items() if row.returns == latest[number] - 1}


def _following(connection: Any, discarded: Mapping[int, str]) -> list[NewJob]:
    """What is to be put since these jobs are given up."""
    if not discarded:
        return []
    found = connection.execute(
        f"SELECT number, nonce, id, on_discarded FROM jobs WHERE number {AMONG} AND on_discarded IS NOT NULL",
        (as_json(discarded),),
    )
    return [
        from_kept_for_discard(text, public_id(number, nonce, chosen), discarded[number])
        for number, nonce, chosen, text in found.fetchall()
    ]


def _runs_of(connection: Any, leases: Iterable[int]) -> dict[int, Run]:
    """Whose the leases are, and since when. One that is no more was swept, or was made in a time that the store has
    gone back behind."""
    found = connection.execute(
        "SELECT l.number, w.name, l.since FROM leases l LEFT JOIN workers w ON w.number = l.worker "
        f"WHERE l.number {AMONG}",
        (as_json(leases),),
    )
    return {number: (worker, since) for number, worker, since in found.fetchall()}


def _lose(changes: Changes, row: Row, run: Run, max_losses: int, cancelled: bool) -> None:
    row = row._replace(attempt=row.attempt + 1, losses=row.losses + 1)
    lost = AttemptError(row.attempt, "lost", "", "its worker died, or was cut off for too long")
    changes.note(row.number, lost, run)
    if cancelled:
        changes.end(row, JobState.CANCELLED, run)
    elif row.losses >= max_losses:
        changes.end(row, JobState.DISCARDED, run, reason=f"it was lost with its worker {row.losses} times")
    else:
        changes.put_back(row, 0.0, again=True)


def remove_waiting(connection: Any, row: Row, state: JobState, now: float, reason: str = "") -> None:
    """End a job that waits."""
    connection.execute(
        "DELETE FROM ready WHERE queue = ? AND rank = ? AND number = ?", (row.queue, row.rank, row.number)
    )
    connection.execute("DELETE FROM gated WHERE number = ?", (row.number,))
    connection.execute("DELETE FROM delayed WHERE number = ?", (row.number,))
    connection.execute("DELETE FROM waiting WHERE job = ?", (row.number,))
    changes = Changes(now)
    changes.end(row, state, NO_RUN, reason=reason)
    changes.write(connection)


def cancelled_among(connection: Any, numbers: Iterable[int]) -> set[int]:
    """Which of these running jobs are to be cancelled."""
    if not exists(connection, "cancels"):
        return set()
    found = connection.execute(f"SELECT job FROM cancels WHERE job {AMONG}", (as_json(numbers),))
    return {number for [number] in found.fetchall()}


def forget_cancels(connection: Any, numbers: Iterable[int]) -> None:
    """They run no more."""
    _many(connection, "DELETE FROM cancels WHERE job = ?", [(number,) for number in numbers])


def _many(connection: Any, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        connection.executemany(statement, rows)
