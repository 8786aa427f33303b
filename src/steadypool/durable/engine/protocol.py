"""The seam: what a durable queue asks of the store it is kept on. `tests/durable/conformance` is the same in code.

What it asks for schedules is in `durable.engine.schedules`, for limits in `durable.engine.limits`.

The model
---------
A job's row is written once and deleted once. What is **available** is a narrow entry of its own, which the claim
deletes; what waits for a moment is a **delayed** entry. A claim of many jobs is one **lease** row that lists them, and
belongs to a **worker** row; renewing touches the worker row alone, however many jobs it holds. Finished jobs leave the
hot tables for a **history** that is pruned.

A job that no worker can run, since none knows its task, stands in *delayed*, too, with its task: out of the way of
claims, and due when it is to be given up (`set_aside`, `recall`, `give_up_unknown`).

An available job that has limits, or a lane, has its entry in *gated* instead, where claims take turns
(`durable.engine.turns`).

So the state of a job that has not ended follows from where it stands: in *available* or *gated*, in *delayed*, or in
none, which is *running*. A claim writes nothing to the job's row.

Fencing
-------
The row counts how often the job came back from a claim (``returns``). A claim's token is that number plus one. Whatever
brings the job back (retry, return, sweep) adds one in the same transaction. The lease lists ``(number, token)`` pairs,
so that a sweep takes back just what is still out under that very claim. A settlement holds if and only if

* its claim's **lease** is there, and
* the job's row is there, and has ``returns == token - 1``.

A worker that was paused, cut off or swept, and a settlement that is sent twice since the answer to the first was lost,
are refused by that.

A store that has gone back in time
----------------------------------
A replica takes over that lacks the last commits, or a backup is put back, while workers and handles know of what has
been lost by it. The store agrees with itself, and gives numbers of jobs and tokens again. So nothing outside of it is
known by those alone:

* **Leases and workers** have random numbers. A settlement under a lease that was lost is refused, and a worker that was
  lost is not renewed: both are as if they had been swept.
* **A job** has a ``nonce``, a random number in its row, that is part of its id and that every call for one job is given
  (`get`, `cancel`, `discard`, `retry`; `ClaimResult.cancels` has it, too). A handle never takes another job for its
  own.
* **What a worker has settled** may be out again under its name. `reconcile` tells the store what the worker really
  holds, now and then and after each trouble; and dropping a lease puts back what is still out under it.
* **Where to look**: an engine that remembers how far it has claimed looks from the beginning every second.

What was enqueued in the time that was lost is lost with it: the store never heard of it.

What every engine owes
----------------------
* **Atomic**: each call is one transaction. It happens as a whole, durably, before the call returns, or not at all.
  (`put_many` and `claim` with thousands of rows too: the caller cuts batches.)
* **Errors**: `EngineBusy`, `EngineGone`, `EngineFull`, `EngineError` (see `durable.engine.errors`), and nothing of the
  driver's own. After an error of a writing call it may or may not have happened: all of them can be repeated, since
  settling is fenced and everything else finds its work done. Only `put_many` without ids puts the jobs again.
* **Ends**: no call waits longer than the engine's ``timeout`` (seconds) for a lock or a sign of an answer: then
  `EngineBusy` or `EngineGone`. After `EngineGone` the next call connects anew, on its own.
* **Time** is the engine's: no argument is a moment of the caller's clock, but `NewJob.at`. A lease must not run out
  because the wall clock was set: an engine that can, keeps leases by a clock that only runs forward.
* **Threads**: any thread may call; calls on one engine object are serialised. Who must not wait for another's call
  opens an engine object of its own. None is used across a fork.
* **Events**: none. The engine tells what it did; who called it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from steadypool.durable.engine.batches import BatchStore
from steadypool.durable.engine.figures import FigureStore
from steadypool.durable.engine.limits import LimitStore
from steadypool.durable.engine.links import LinkStore
from steadypool.durable.engine.notes import NoteStore
from steadypool.durable.engine.records import (
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
from steadypool.durable.engine.schedules import ScheduleStore
from steadypool.durable.engine.states import JobState
from steadypool.model.queue_depth import MOST_COUNTED, QueueDepth
from steadypool.rules.claim_size import MOST_BYTES


class Listener(Protocol):
    """Waits for news from other processes. One thread waits at a time; any thread may wake it."""

    def wait(self, seconds: float) -> None:
        """Return when there may be news, when woken, or after *seconds*.

        It may return for no reason. News may come late or be lost (a connection pooler, a file system without sockets),
        so a caller looks for itself every second or so. What came since the last `wait` ends this one at once.
        """

    def wake(self) -> None:
        """End the present wait, or the next one. From any thread; quick; never raises."""

    def close(self) -> None:
        """Give everything back. Twice does no harm."""


class Engine(Protocol):
    """One store. Made from its address by `durable.engine.open.open_engine`; connects when it is first used."""

    url: str
    """The address it was made from, without a password."""
    timeout: float
    """Seconds that a call waits at most for a lock or an answer; may be changed at any time (a drain does). Over a line
    it waits longer for as long as something moves."""

    @property
    def schedules(self) -> ScheduleStore:
        """What is put on a schedule: a part of this engine, over the same connection."""

    @property
    def limits(self) -> LimitStore:
        """Limits: a part likewise."""

    @property
    def figures(self) -> FigureStore:
        """What is counted for people who look: likewise."""

    @property
    def links(self) -> LinkStore:
        """Which job waits for which: likewise."""

    @property
    def batches(self) -> BatchStore:
        """Batches: likewise."""

    @property
    def notes(self) -> NoteStore:
        """What jobs have saved for their next run: likewise."""

    def take_advisory(self) -> str:
        """What its operator should know of the store as it is here, in a sentence or two; empty: nothing.

        For the first who takes it, of all who ever use the store; empty for the others.
        """

    # -- tables

    def schema(self) -> Schema:
        """Which version the tables have, and what `migrate` would do. Changes nothing, and makes no file."""

    def migrate(self) -> Schema:
        """Bring the tables up to date, and say what was done: ``pending`` is what ran. Safe to call by many at once.

        An embedded engine also makes its tables on its own, when it first writes to an empty store.

        Raises:
            SchemaMismatch: the tables are of a later version than this Steadypool knows.

        Every other call raises `SchemaMismatch` as long as ``found`` is below the oldest version it can work with.
        """

    # -- putting

    def put_many(self, jobs: Sequence[NewJob], *, waits: bool = True) -> list[EnqueueResult]:
        """Put jobs, durable when it returns; one `EnqueueResult` for each, in order.

        An id or unique key that is taken, in the store or by an earlier job of the same call, has
        ``enqueued=False``. Listeners for work are notified, once for the call.

        Args:
            jobs: the jobs.
            waits: whether to wait for another transaction that is putting a job of the same id or key, and has not
                ended. On an embedded engine only one transaction writes at a time.

        Raises:
            KeyBusy: there is such a transaction, and *waits* is false; nothing has happened.
            EngineError: it may or may not have happened, unless that says ``nothing_happened``.
        """

    def put_on(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """The same on the caller's own connection, in the caller's transaction: the jobs are there if that commits.

        Nothing is committed here, unless the connection is in no transaction and commits each statement on its own.

        Raises:
            TypeError: *connection* is nothing that this engine can use, or belongs to another database.
            SchemaMismatch: the tables are missing; SQLite only.
            Exception: what the driver raises, as for any statement of the caller's.
        """

    async def put_on_async(self, connection: Any, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """The same on a connection of asyncio's, without blocking the loop.

        Raises:
            TypeError: as above.
        """

    # -- working

    def register(
        self, name: str, seconds: float, queues: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> int:
        """Add a worker whose leases hold for *seconds*, and return its number: a random one.

        For those who look: from which *queues* it is going to claim, and which *tasks* it knows; ``None``: that is not
        known.
        """

    def renew(self, worker: int, seconds: float) -> bool:
        """Have the worker's leases hold for *seconds* from now; touches its one row.

        Returns:
            False if the worker is not registered (any more): it was swept, and all it held is lost.
        """

    def claim(
        self,
        worker: int,
        queues: Sequence[str],
        limit: int,
        settlements: Sequence[Settlement] = (),
        done: Sequence[int] = (),
        most_bytes: int = MOST_BYTES,
    ) -> ClaimResult:
        """Settle, then claim, in one transaction and one round trip.

        Args:
            worker: who claims. If it is not registered any more nothing is claimed.
            queues: claimed from in this order: the first is emptied before the second is looked at. Paused ones are
                left out. Delayed jobs whose time has come count as available.
            limit: how many jobs at most; 0 to settle alone.
            settlements: see `settle_many`.
            done: leases that the worker holds no job of any more, once these settlements are through. What is out
                under them is put back, attempts included. To leave one out does no harm: what is settled
                is not taken back by a sweep.
            most_bytes: how many bytes of arguments at most, by and large. One job is claimed however large it is.

        Within a queue the highest priority goes first, and of one priority the earliest put; jobs with gates or a lane
        stand beside them, take turns from lane to lane, and are in that order within a lane. The claimed jobs are spent
        an attempt and are the worker's until it settles them or its lease runs out. A call that finds nothing to do
        must not write, so that an idle worker costs (nearly) nothing.
        """

    def claim_except(
        self, worker: int, queues: Sequence[str], limit: int, tasks: Collection[str], most_bytes: int = MOST_BYTES
    ) -> tuple[Claim, ...]:
        """Claim as `claim` does, but leave jobs of these tasks to others: the worker has no room for more of them.

        It looks at the first `LOOKED_PAST` jobs of each queue, and finds nothing behind those.
        """

    def reconcile(self, worker: int, known: Sequence[tuple[int, int]]) -> Reconciled:
        """Put back, attempts included, what is out under the worker's leases but for *known*, ``(lease, number)`` each.

        For a worker whose call of `claim` has failed: it may have happened, and no worker would run what it gave. And
        for a store that may have gone back in time, now and then: it says also which of these leases are no more, and
        which of these claims have been settled, by a call of which the worker does not know that it happened. A call
        that finds nothing to put back must not write.
        """

    def settle_many(self, settlements: Sequence[Settlement]) -> frozenset[tuple[int, int]]:
        """Record what became of claims; returns the ``(number, lease)`` of those that were refused by the fence.

        A job that ends leaves its history for `NewJob.keep` seconds (discarded and cancelled: a week at least), gives
        its unique key back unless that holds for a period, and listeners for ends are notified. Errors are recorded.
        """

    def report(self, worker: int, progress: Mapping[int, Progress]) -> None:
        """Write down how far jobs are that the worker runs, by their numbers, instead of what it had said before.

        One row is touched, the worker's; `get` and `list` show it as long as the job is the worker's.
        """

    def leave(self, worker: int) -> None:
        """The worker has stopped. If it holds nothing any more its row goes; else its lease runs out as it may."""

    def sweep(self, max_losses: int) -> SweepResult:
        """Take back what workers hold whose leases have run out, and forget those workers.

        Each such job comes back available with ``losses`` and ``returns`` one higher and an error ``"lost"``; one that
        has *max_losses* by then is discarded. A call that finds nothing must not write. Any number of sweepers may run.
        A lease must not be taken for run out when its owner tried to renew it and could not because the store was
        locked for all workers. The caller sees to that by its own renewals (`durable.worker.punctuality`). An engine
        that had to wait for its turn here skips the sweep, and gives the owner its own.
        """

    # -- one job

    def get(self, job_id: str) -> JobRecord | None:
        """The job of that id, ended ones included, with the errors of its attempts; ``None`` if there is none.

        An id that was not chosen by the user may be given without its nonce, as people type it.
        """

    def not_ended(self, jobs: Sequence[JobKey]) -> frozenset[JobKey]:
        """Which of these jobs are there and have not ended."""

    def cancel(self, number: int, nonce: int | None) -> JobState | None:
        """Cancel: one that waits at once; for one that runs, leave word for its worker (`ClaimResult.cancels`).

        Args:
            nonce: the job's; ``None``: whichever job has that number, as people type an id without it.

        Returns:
            The state in which the job was found; ``None`` if there is none. One that has ended is left alone.
            Listeners for work are notified when it ran.
        """

    def cancel_chosen(self, job_id: str) -> JobState | None:
        """The same for an id that was chosen by the user."""

    def discard(self, number: int, nonce: int, reason: str) -> JobRecord | None:
        """Discard one that waits; returns the job as it was found. One that runs or has ended is left alone."""

    def retry(self, number: int, nonce: int) -> JobRecord | None:
        """Make a job available now that was discarded or cancelled (with its attempts forgotten), or that is delayed.

        Returns:
            The job as it was found; ``None`` if there is none. Others are left alone, as is one whose unique key
            another job has taken meanwhile.
        """

    # -- many jobs

    def list(self, which: JobFilter) -> list[JobRecord]:
        """Jobs, the latest put first. A short look: no snapshot is held between two pages."""

    def find(self, which: JobFilter) -> Sequence[JobRecord]:
        """The same without arguments and results, and without who runs the jobs: quick for thousands."""

    def change_many(self, change: ChangeKind, jobs: Sequence[JobKey], reason: str = "") -> Sequence[Change]:
        """Retry, cancel or discard all of these, as the calls of these names do one; a row for each that is there.

        One transaction: the caller cuts batches. A job that another transaction has in its hands is not waited for, nor
        is a unique key that another is putting.
        """

    def stats(self) -> EngineStats:
        """Queues and workers, by counting. Not for a hot path."""

    def depths(self, queues: Sequence[str], most: int = MOST_COUNTED) -> Sequence[QueueDepth]:
        """What these named queues hold, in their order, each count up to *most* and no further.

        It costs milliseconds however much there is; delayed jobs are counted from the earliest on, of all queues
        together.
        """

    def workers(self) -> tuple[WorkerRow, ...]:
        """Who works: a part of `stats` that is quick."""

    def unknown_tasks(self, tasks: Collection[str]) -> frozenset[str]:
        """Which of these tasks no live worker knows; none if there is none, or one has not said what it knows."""

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or resume claims from a queue; what runs goes on. Resuming tells listeners for work."""

    def prune(self, limit: int) -> int:
        """Delete up to *limit* records whose keep time is over, and unique keys whose period is; returns how many."""

    # -- jobs of unknown tasks

    def set_aside(self, queues: Sequence[str], known: Collection[str], limit: int, seconds: float) -> Mapping[str, int]:
        """Take those out of the way whose task is not known, of the first *limit* available jobs of each queue.

        They are *scheduled* from then on, keep their attempts and their place, and wait for `recall`; if *seconds* pass
        first, for `give_up_unknown`. However many there are, other jobs wait for moments only.

        Returns:
            How many jobs of each task.
        """

    def recall(self, queues: Sequence[str], known: Collection[str], limit: int) -> int:
        """Make jobs of these queues available again that were set aside and whose task is known here; *limit* at most.

        Returns how many. A call that finds none must not write.
        """

    def give_up_unknown(self, limit: int, reason: str) -> Mapping[str, int]:
        """Discard up to *limit* jobs whose time to be set aside is over; how many of each task. Likewise."""

    # -- news, and the end

    def wake(self) -> None:
        """Tell listeners for work that there may be some, as `put_many` does: for jobs that came by `put_on`.

        Raises:
            EngineError: no listener was notified.
        """

    def listener(self, topic: str) -> Listener:
        """A listener for ``"work"`` (something may be claimed or cancelled) or ``"ends"`` (jobs have ended)."""

    def now(self) -> float:
        """The engine's clock, in seconds since the epoch."""

    def move_clock(self, seconds: float) -> None:
        """Have that clock go ahead by so many seconds more (back, if negative), for all who use the store. For tests.

        Everything is due by that clock, and written down by it: delays, retries, schedules, the time for which records
        are kept. Leases run on by the true time: a live worker loses none.
        """

    def close(self) -> None:
        """Close connections. A later call opens them again; twice does no harm."""
