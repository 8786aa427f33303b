"""`Batch`: jobs that belong together, and what follows them.

Jobs that are enqueued in the ``with`` block of a batch are its members. They are put a thousand at a time, so a handle
does not know its job's id before: to ask for it puts what has gathered. Which batch is open is a context variable: code
of other threads, which enqueues meanwhile, adds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Self

from steadypool.durable.client.call import Call, jobs_of
from steadypool.durable.client.handle import JobHandle
from steadypool.durable.client.home import Home, ResultDecoder
from steadypool.durable.client.job_summary import JobSummary, summary_of
from steadypool.durable.client.nested_waits import refuse_on_loop as refuse_to_wait_on_loop
from steadypool.durable.client.open_queues import kept_at
from steadypool.durable.client.options import check_name
from steadypool.durable.engine.batches import BatchRow, NewBatch, OnFailure, batch_id, number_of_batch
from steadypool.durable.engine.errors import UnknownBatch, WrongState
from steadypool.durable.engine.records import EnqueueResult, NewJob
from steadypool.durable.engine.states import JobState
from steadypool.model.clock import monotonic
from steadypool.model.error_text import in_a_line

AT_ONCE, BYTES_AT_ONCE = 1000, 8_000_000
"""Members in one transaction, and bytes of their arguments."""
PAGE = 500
LOOK_AGAIN = 1.0
"""Seconds after which one that waits for the end looks by itself."""
ON_FAILURE = ("go_on", "cancel_rest")


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is. Batches that are its members count as one each."""

    total: int
    """Its members so far."""
    completed: int
    failed: int
    """Those that were discarded."""
    cancelled: int
    sealed: bool
    """Nothing is added any more, but by members."""
    finished: bool
    """All have ended, and what follows was put."""

    @property
    def left(self) -> int:
        """How many have not ended."""
        return self.total - self.completed - self.failed - self.cancelled


class Batch:
    """Jobs that belong together. Made by `Queue.batch`, found by `Queue.get_batch` and ``current_job().batch``.

    In its ``with`` block, jobs that are enqueued are its members; at the end it is sealed. An error in the block
    cancels it, with what was put. Outside of one, `add` puts members, and `seal` says that there are no more.
    """

    def __init__(self, home: Home, new: NewBatch | None, number: int | None = None, connection: Any = None) -> None:
        self._home = home
        self._new = new
        self._number = number
        self._connection = connection
        self._lock = threading.RLock()
        self._gathered: list[tuple[NewJob, MemberHandle]] = []
        self._size = 0
        self._unput: BaseException | None = None
        """Why members that had gathered could not be put: then it may not end as if they had been."""
        self._token: Token[Batch | None] | None = None

    # -- what it is

    @property
    def number(self) -> int:
        """By which the store knows it. The first to ask makes it there."""
        with self._lock:
            if self._number is None:
                assert self._new is not None
                self._number = self._make(self._new)
            return self._number

    def _make(self, new: NewBatch) -> int:
        store = self._home.engine.batches
        if self._connection is not None:
            return store.make_on(self._connection, new)
        if new.parent is not None:
            Batch(self._home, None, new.parent)._refuse_if_finished()
        return store.make(new)

    @property
    def id(self) -> str:
        """What people call it: for `Queue.get_batch`, and for ``steadypool batches show``."""
        return batch_id(self.number)

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self.row().name if self._new is None else self._new.name

    def row(self) -> BatchRow:
        """Everything that is known of it now.

        Raises:
            UnknownBatch: it is not there any more, or the transaction that made it has not committed.
        """
        self._put_gathered()
        found = self._home.engine.batches.get(self.number)
        if found is None:
            raise unknown(self.id)
        return found

    def progress(self) -> BatchProgress:
        """How far it is. Raises as `row` does."""
        row = self.row()
        completed = row.ended - row.failed - row.cancelled
        return BatchProgress(row.total, completed, row.failed, row.cancelled, row.sealed, _has_finished(row))

    def members(self, *states: JobState | str) -> Iterator[JobSummary]:
        """The members that are in one of these states, by default all, in the order in which they were put.

        Each has ``id``, ``task``, ``state``, ``result``, ``errors`` and ``reason``, as `JobContext.inputs` has them.
        They are read page by page, so that there may be any number. Those that left no record (``keep=0``) are missing.
        """
        wanted: Collection[JobState] = frozenset(map(JobState, states)) or frozenset(JobState)
        after = 0
        self._put_gathered()
        while page := self._home.engine.batches.members(self.number, wanted, after, PAGE):
            yield from (summary_of(record, self._home.tasks) for record in page)
            after = page[-1].number

    def failed(self) -> Iterator[JobSummary]:
        """The members that were discarded; likewise."""
        return self.members(JobState.DISCARDED)

    def result(self, timeout: float | None = None) -> BatchProgress:
        """Wait until all members have ended, and return the counts; *timeout* seconds at most.

        Raises:
            TimeoutError: they had not ended by then.
            UnknownBatch: it is not there.
            RuntimeError: on the event loop of all jobs of a worker, which it would hold up.
        """
        refuse_to_wait_on_loop()
        until = float("inf") if timeout is None else monotonic() + timeout
        with closing(self._home.engine.listener("ends")) as listener:
            while not (found := self.progress()).finished:
                left = until - monotonic()
                if left <= 0:
                    raise TimeoutError(_why_open(self.id, found))
                listener.wait(min(left, LOOK_AGAIN))
        return found

    async def result_async(self, timeout: float | None = None) -> BatchProgress:
        """The same from asyncio."""
        import asyncio  # for those who use it

        return await asyncio.to_thread(self.result, timeout)

    # -- what is added

    def add(self, call: Call[Any], *, connection: Any = None) -> JobHandle[Any]:
        """Put a call as a member; in a job that is a member itself, too: then it counts before that one ends.

        Raises:
            WrongState: the batch has finished.
            TypeError, ValueError: it is no call, as ``task.call(...)`` makes one, or its task is not of this store.
        """
        [handle] = self.add_many([call], connection=connection)
        return handle

    def add_many(self, calls: Iterable[Call[Any]], *, connection: Any = None) -> list[JobHandle[Any]]:
        """Put calls as members, in one transaction."""
        jobs = jobs_of(map(_call, calls), _tasks_beside(self._home))
        self._put_gathered()
        connection = self._connection if connection is None else connection
        if connection is None:
            self._refuse_if_finished()
        placed = self.put(jobs, connection)
        return [
            JobHandle(self._home, one, self._home.tasks.get(job.task)) for one, job in zip(placed, jobs, strict=True)
        ]

    def _refuse_if_finished(self) -> None:
        row = self.row()
        if _has_finished(row):
            raise WrongState(f"{self.id} ({row.name}) has finished: make another batch", state="finished")

    def put(self, jobs: Sequence[NewJob], connection: Any = None) -> list[EnqueueResult]:
        """Put jobs as members, after those that have gathered."""
        self._put_gathered()
        return self._put(jobs, connection)

    def _put(self, jobs: Sequence[NewJob], connection: Any = None) -> list[EnqueueResult]:
        connection = self._connection if connection is None else connection
        members = [job._replace(batch=self.number) for job in jobs]
        if not members:
            return []
        engine, writer = self._home.engine, self._home.writer
        return writer.put(members) if connection is None else engine.put_on(connection, members)

    def gather(self, job: NewJob, task: ResultDecoder) -> JobHandle[Any]:
        """Put a job as a member, with others, a little later."""
        handle = MemberHandle(self, self._home, task)
        with self._lock:
            self._gathered.append((job, handle))
            self._size += len(job.payload)
            if len(self._gathered) >= AT_ONCE or self._size >= BYTES_AT_ONCE:
                self._put_gathered()
        return handle

    def _put_gathered(self) -> None:
        with self._lock:
            gathered, self._gathered, self._size = self._gathered, [], 0
            try:
                placed = self._put([job for job, _ in gathered]) if gathered else []
            except BaseException as error:
                self._unput = error
                raise
            for (_, handle), one in zip(gathered, placed, strict=True):
                handle.placed = one

    # -- its end

    def seal(self) -> None:
        """Nothing more is added, but by members: what follows is put when all have ended.

        Raises:
            WrongState: jobs that were enqueued in its block could not be put, and their error was caught there.
        """
        self._put_gathered()
        if self._unput is not None:
            why = in_a_line(self._unput)
            raise WrongState(f"members of {self.id} could not be put ({why}): cancel it", state="open") from self._unput
        store = self._home.engine.batches
        if self._connection is None:
            store.seal(self.number)
        else:
            store.seal_on(self._connection, self.number)

    def cancel(self) -> bool:
        """Cancel the members that have not ended, within two seconds; false if it had finished.

        ``finally_`` follows when all have ended, unless the batch was never sealed.
        """
        found = self.row()
        return self._home.engine.batches.cancel(found.number, seal=False)

    def __enter__(self) -> Self:
        if self._new is None or self._token is not None:
            raise RuntimeError("a batch has one with block: make another with queue.batch(...), or use add")
        _ = self.number
        self._token = _open.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._token is not None
        _open.reset(self._token)
        self._leave(kind is not None)

    def _leave(self, by_error: bool) -> None:
        if by_error:
            self._give_up()
            return
        try:
            self.seal()
        except BaseException:  # the last members could not be put, for one
            self._give_up()
            raise

    def _give_up(self) -> None:
        with self._lock:
            self._gathered.clear()
        if self._connection is None:  # else it is gone when the caller rolls back
            self._home.engine.batches.cancel(self.number, seal=True)

    async def __aenter__(self) -> Self:
        import asyncio  # for those who use it

        if self._new is None or self._token is not None:
            raise RuntimeError("a batch has one with block: make another with queue.batch(...), or use add")
        await asyncio.to_thread(lambda: self.number)
        self._token = _open.set(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import asyncio  # for those who use it

        assert self._token is not None
        _open.reset(self._token)
        await asyncio.to_thread(self._leave, kind is not None)

    def __repr__(self) -> str:
        return f"<batch {self._number if self._number is not None else 'not made yet'}>"


class MemberHandle(JobHandle[Any]):
    """The handle of a job that is put with others of its batch: when its id is asked for, at the latest."""

    __slots__ = ("_batch", "placed")

    def __init__(self, batch: Batch, home: Home, task: ResultDecoder) -> None:
        self._batch = batch
        self._home = home
        self._task = task
        self.placed: EnqueueResult | None = None

    def _there(self) -> EnqueueResult:
        if self.placed is None:
            self._batch._put_gathered()
        if self.placed is None:
            raise WrongState("the job was not put: its batch was left by an error, or could not put it", state="")
        return self.placed

    @property
    def job_id(self) -> str:  # type: ignore[override]
        """The job's id."""
        return self._there().id

    @property
    def enqueued(self) -> bool:  # type: ignore[override]
        """Whether it was put."""
        return self._there().enqueued

    def __repr__(self) -> str:
        return "<durable job, not put yet>" if self.placed is None else f"<durable job {self.placed.id}>"

    @property
    def _key(self) -> tuple[int, int]:  # type: ignore[override]
        return self._there()[:2]


_open: ContextVar[Batch | None] = ContextVar("steadypool_batch", default=None)


def open_batch(home: Home) -> Batch | None:
    """The batch of that queue in whose ``with`` block the calling code is."""
    batch = _open.get()
    return batch if batch is not None and batch._home is home else None


def place(home: Home, jobs: Sequence[NewJob], connection: Any) -> Sequence[EnqueueResult]:
    """Put jobs, as members of that batch if the calling code is in such a block."""
    batch = open_batch(home)
    if batch is not None:
        return batch.put(jobs, connection)
    return home.writer.put(jobs) if connection is None else home.engine.put_on(connection, jobs)


def as_member(home: Home, job: NewJob) -> NewJob:
    """The job, as a member of that batch, if the calling code is in such a block."""
    batch = open_batch(home)
    if batch is None:
        return job
    batch.put(())  # what has gathered comes first
    return job._replace(batch=batch.number)


def new_batch(
    name: str,
    then: Call[Any] | None,
    finally_: Call[Any] | None,
    on_failure: OnFailure,
    parent: Batch | None,
    tasks: Mapping[str, object],
) -> NewBatch:
    """Checked.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    check_name("the name of a batch", name, "import 2026-11")
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure must be one of {', '.join(map(repr, ON_FAILURE))}; got {on_failure!r}")
    if not isinstance(parent, Batch | None):
        raise TypeError(f"parent must be a batch, such as current_job().batch, not {parent!r}")
    return NewBatch(
        name,
        _following("then", then, tasks),
        _following("finally_", finally_, tasks),
        on_failure,
        None if parent is None else parent.number,
    )


def number_in(text: object) -> int:
    """The number in the id of a batch.

    Raises:
        TypeError, UnknownBatch: it is none.
    """
    if not isinstance(text, str):
        raise TypeError(f"the id of a batch is a str such as 'batch-7', not {text!r}")
    number = number_of_batch(text)
    if number is None or number >= 2**63:
        raise unknown(text)
    return number


def unknown(text: str) -> UnknownBatch:
    """The error for an unknown id."""
    if number_of_batch(text) is None:
        example = f"batch-{text}" if text.isdecimal() else "batch-7"
        return UnknownBatch(
            f"there is no batch {text!r}: give its id, such as {example!r}, which steadypool batches list shows"
        )
    return UnknownBatch(
        f"there is no batch {text!r}: it was never made here, its record was pruned a week after its end, or the "
        "transaction that made it has not committed"
    )


def _has_finished(row: BatchRow) -> bool:
    """It has not if a member runs again by hand."""
    return row.finished_at is not None and row.total == row.ended


def _why_open(name: str, found: BatchProgress) -> str:
    text = f"{found.left} of the {found.total} members of {name} have not ended"
    return text if found.sealed else f"{text}, and it was not sealed: call seal() when there are no more"


def _call(call: object) -> Call[Any]:
    if not isinstance(call, Call):
        raise TypeError(f"add takes a call, made by task.call(...), not {call!r}")
    return call


def _tasks_beside(home: Home) -> Mapping[str, object]:
    """Those of all queues of this process that are kept in the same store: a job does not choose its batch's queue."""
    beside = [queue for queue in kept_at(home.url) if isinstance(queue, type(home))]
    return {name: task for queue in (home, *beside) for name, task in queue.tasks.items()}


def _following(name: str, call: object, tasks: Mapping[str, object]) -> NewJob | None:
    if call is None:
        return None
    if not isinstance(call, Call):
        raise TypeError(f"{name} must be a call, made by task.call(...), not {call!r}")
    [job] = jobs_of([call], tasks)
    for option, value in (("id", job.id), ("unique", job.unique), ("after", job.after or None)):
        if value is not None:
            raise ValueError(f"{name} runs once, under an id of the batch: leave {option}={value!r} out")
    return job
