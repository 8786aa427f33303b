"""Group commit for all threads of a process: as many jobs in one transaction as have gathered, on its own.

A commit waits for the disk, and costs about the same for one job as for a hundred. So a caller leaves its jobs
here. If no other writes at the moment it takes the **turn** and writes itself: for one caller alone there is no other
thread to wake and to wait for. Else the writer's thread takes the next turn, writes everything that has gathered in one
transaction, and wakes all callers whose jobs were in it; while it commits, the next batch gathers. One caller alone
waits for one commit; 256 share one.

**Lingering.** After a commit the first caller that wakes is alone with its next job, while the others are about to
wake. So a batch of more than one waits until as many have gathered again, for as long as the last commit took at most
(`_linger`). One thread alone never waits: its batches are of one.

The main thread never writes, nor opens the engine: there Ctrl-C and signal handlers may come between any two lines, and
a transaction that is half-way is nothing to leave behind. It takes no lock here, either, that a handler which enqueues
could wait for; and a thread whose own call, interrupted, keeps others from writing is refused at once
(`durable.engine.reentry`).

One caller's jobs are no other's trouble. If a batch is refused for what one of them brought, it is written by halves
until that one is alone, and it alone gets the error. If one has a key that another program is putting in a
transaction of its own, which may stay open for long, it is set aside, and tried again on its own every tenth of a
second for as long as the engine's timeout; all others go on.

Order: what one thread enqueues is put in that order. What two threads enqueue is put in either.

Lost wake-ups: a caller appends first and tries for the turn second; if it fails it rings for the thread, which waits
for the turn and looks at what has gathered after that. A caller that gives the turn back and finds others left rings
for them.
"""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from steadypool.durable.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFull,
    EngineGone,
    EngineRefused,
    KeyBusy,
    SchemaMismatch,
)
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import EnqueueResult, NewJob
from steadypool.durable.engine.reentry import check_not_writing, interrupted
from steadypool.durable.engine.url import shown
from steadypool.model.clock import monotonic
from steadypool.model.errors import SteadypoolError
from steadypool.primitives.wakeup import Bell

LARGEST_BATCH = 1000
"""Jobs in one transaction: beyond it a commit costs in proportion, and others wait."""
LARGEST_BYTES = 4_000_000
"""The same of their arguments."""
LONGEST_LINGER = 0.002
"""Seconds that a batch waits for company at most."""
RETRY_EVERY = 0.1
"""Seconds between two tries of what is set aside, at least."""
RETRY_SHARE = 5
"""And so many times as long as the last one took: others are to have the turn."""
SLOWEST = 500_000
"""Bytes a second that may be counted on: so much longer a caller waits for the writer."""
TIMEOUT = 10.0
"""Of an engine that is not open yet."""
SLACK = 5.0
"""Seconds beyond the engine's own timeout after which a caller stops waiting for the writer."""


class Put:
    """Jobs to be put, and the answer to their caller."""

    __slots__ = ("_answered", "_error", "_on_answer", "_placed", "jobs", "size", "until")

    def __init__(self, jobs: Sequence[NewJob], on_answer: Callable[[Put], object] | None = None) -> None:
        self.jobs = jobs
        self.size = sum(len(job.payload) for job in jobs)
        self.until: float | None = None
        """When it is given up, once it is set aside."""
        self._placed: list[EnqueueResult] = []
        self._error: Exception | None = None
        self._on_answer = on_answer
        self._answered = _thread.allocate_lock()
        self._answered.acquire()

    def succeed(self, placed: list[EnqueueResult]) -> None:
        """They are put."""
        self._placed = placed
        self._wake()

    def fail(self, error: Exception) -> None:
        """They are not, or it is not known."""
        self._error = error
        self._wake()

    def wait(self, seconds: float) -> bool:
        """Wait for the answer; whether it has come."""
        return self._answered.acquire(timeout=seconds)

    def result(self) -> list[EnqueueResult]:
        """The answer, which has come; an error is raised."""
        if self._error is not None:
            raise self._error
        return self._placed

    def _wake(self) -> None:
        self._answered.release()
        if self._on_answer is not None:
            self._on_answer(self)

    @property
    def has_key(self) -> bool:
        """Whether it may have to wait for another transaction."""
        return any(job.id is not None or job.unique is not None for job in self.jobs)


class Stop:
    """The end, and the future for the caller of `Writer.close`."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done: Future[None] = Future()


class Writer:
    """Puts jobs for all threads of a process. Its thread starts when it is first needed.

    Args:
        url: where.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: Engine | None = None
        self._waiting: deque[Put | Stop] = deque()
        self._aside: list[Put] = []
        """Those whose key is being put by another transaction. Only the thread with the turn changes it."""
        self._retry_at = 0.0
        self._bell = Bell()
        self._turn = threading.Lock()
        """Held by the thread that writes; never by the main thread."""
        self._here: set[int] = set()
        """Threads that have the turn, or try for it."""
        self._gathering = 0
        """So many puts are awaited by the thread that has the turn."""
        self._gathered = Bell()
        self._last_batch, self._last_seconds = 1, 0.0
        """Puts in the latest batch, and how long its commit took."""
        self._thread: int | None = None
        """The writer's thread."""

    def put(self, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """Put the jobs; durable when it returns.

        Raises:
            EngineError: it may or may not have happened.
            EngineBusy: also for a signal handler or a finalizer that runs in the middle of a call of the same thread
                which keeps others from writing; nothing has happened then.
        """
        me = threading.get_ident()
        check_not_writing()
        if me in self._here:
            raise interrupted()
        put = Put(jobs)
        self._add(put)
        if me == threading.main_thread().ident or not self._write_for_all(me):
            self._call_thread()
        return self._wait(put)

    def _write_for_all(self, me: int) -> bool:
        """Write what has gathered, on the caller's thread, if it can have the turn."""
        try:
            self._here.add(me)
            if not self._turn.acquire(blocking=False):
                return False
            try:
                self._write_batch()
            finally:
                self._turn.release()
        finally:
            self._here.discard(me)
        if self._waiting or self._aside:
            self._call_thread()
        return True

    def put_soon(self, jobs: Sequence[NewJob]) -> Future[list[EnqueueResult]]:
        """Put the jobs, without waiting: the future has the answer."""
        future: Future[list[EnqueueResult]] = Future()

        def answer(put: Put) -> None:
            try:
                placed = put.result()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(placed)

        self._add(Put(jobs, answer))
        self._call_thread()
        return future

    def _add(self, put: Put) -> None:
        self._waiting.append(put)
        if 0 < self._gathering <= len(self._waiting):
            self._gathered.ring()

    def _wait(self, put: Put) -> list[EnqueueResult]:
        """Wait for the answer.

        Raises:
            EngineBusy: there was none for longer than the engine is patient.
        """
        seconds = self._timeout + SLACK + put.size / SLOWEST
        if not put.wait(seconds):
            raise EngineBusy(f"{shown(self._url)} has not answered for {seconds:g} s; the job may yet be enqueued")
        return put.result()

    def close(self) -> None:
        """Write what waits, end the thread, and close the engine."""
        if self._thread is None and not self._waiting:
            if self._opened is not None:
                self._opened.close()
            return
        stop = Stop()
        self._waiting.append(stop)
        self._call_thread()
        with suppress(TimeoutError):
            stop.done.result(self._timeout + SLACK)

    @property
    def _engine(self) -> Engine:
        """For who has the turn."""
        if self._opened is None:
            self._opened = open_engine(self._url)
        return self._opened

    @property
    def _timeout(self) -> float:
        return TIMEOUT if self._opened is None else self._opened.timeout

    def _call_thread(self) -> None:
        if self._thread is None:
            # Not `threading.Thread`: to start one takes a lock, which a signal handler may find held.
            _thread.start_new_thread(self._write_all, ())
        self._bell.ring()

    def _write_all(self) -> None:
        me = threading.get_ident()
        with self._turn:
            if self._thread is not None:
                return  # two callers have started one each
            self._thread = me
        try:
            self._here.add(me)
            while self._thread == me:
                self._bell.wait(max(self._retry_at, monotonic() + RETRY_EVERY) if self._aside else None)
                with self._turn:
                    self._write_what_waits()
        finally:
            self._here.discard(me)
        if self._waiting:
            self._call_thread()

    def _write_what_waits(self) -> None:
        while self._write_batch():
            pass
        stop = self._waiting[0] if self._waiting else None
        self._try_aside(give_up=isinstance(stop, Stop))
        if isinstance(stop, Stop):
            self._waiting.popleft()
            self._thread = None  # before it is looked who is left: they start another
            if self._opened is not None:
                self._opened.close()
            stop.done.set_result(None)

    def _linger(self) -> None:
        """Wait until as many puts have gathered as the latest batch had, if it had company."""
        wanted = self._last_batch
        if wanted < 2 or len(self._waiting) >= wanted:
            return
        until = monotonic() + min(self._last_seconds, LONGEST_LINGER)
        self._gathering = wanted  # first, and looked second whether they are there: they ring from now on
        while len(self._waiting) < wanted and monotonic() < until:
            self._gathered.wait(until)
        self._gathering = 0

    def _take(self) -> list[Put]:
        """What waits, up to a batch; a single put may be larger."""
        batch: list[Put] = []
        count = size = 0
        while self._waiting and isinstance(first := self._waiting[0], Put):
            count, size = count + len(first.jobs), size + first.size
            if batch and (count > LARGEST_BATCH or size > LARGEST_BYTES):
                break
            self._waiting.popleft()
            batch.append(first)
        return batch

    def _write_batch(self) -> bool:
        """Write what has gathered, up to a batch; whether there was any."""
        if self._waiting:
            self._linger()
        batch = self._take()
        if not batch:
            return False
        began = monotonic()
        self._write(batch)
        self._last_batch, self._last_seconds = len(batch), monotonic() - began
        return True

    def _write(self, batch: list[Put]) -> None:
        try:
            engine = self._engine
        except Exception as error:  # a library that is missing, or too old: the caller is to know which
            for put in batch:
                put.fail(type(error)(*error.args))
            return
        try:
            placed = engine.put_many([job for put in batch for job in put.jobs], waits=False)
        except KeyBusy as error:
            self._write_but_for_keys(batch, error)
            return
        except Exception as error:
            if len(batch) > 1 and _is_for_what_was_put(error):
                self._write_halves(batch)
                return
            # Each caller gets an error of its own to raise: one object raised by many threads mixes up its tracebacks.
            for put in batch:
                put.fail(_copy(error))
            return
        start = 0
        for put in batch:
            put.succeed(placed[start : start + len(put.jobs)])
            start += len(put.jobs)

    def _write_halves(self, batch: list[Put]) -> None:
        half = len(batch) // 2
        self._write(batch[:half])
        self._write(batch[half:])

    def _write_but_for_keys(self, batch: list[Put], error: KeyBusy) -> None:
        """Write a batch in which one at least has a key that another transaction is putting."""
        if len(batch) == 1:
            self._set_aside(batch[0], error)
            return
        keyed = [put for put in batch if put.has_key]
        if len(keyed) == len(batch):
            self._write_halves(batch)
            return
        self._write([put for put in batch if not put.has_key])
        self._write(keyed)

    def _set_aside(self, put: Put, error: KeyBusy) -> None:
        now = monotonic()
        if put.until is None:
            put.until = now + self._timeout
        if now < put.until:
            self._aside.append(put)
            return
        error = KeyBusy(f"{error}, in a transaction that has been open for {self._timeout:g} s")
        error.nothing_happened = True
        put.fail(_copy(error))

    def _try_aside(self, *, give_up: bool) -> None:
        began = monotonic()
        if not self._aside or (began < self._retry_at and not give_up):
            return
        aside, self._aside = self._aside, []
        for put in aside:
            if give_up:
                put.until = began
            self._write([put])
        ended = monotonic()
        self._retry_at = ended + max(RETRY_EVERY, (ended - began) * RETRY_SHARE)


def _is_for_what_was_put(error: Exception) -> bool:
    """Whether another batch may go through where this one did not: nothing was wrong with the store."""
    if isinstance(error, EngineError):
        return error.nothing_happened and not isinstance(error, (EngineBusy, EngineGone, EngineFull))
    return not isinstance(error, SchemaMismatch)


def _copy(error: Exception) -> Exception:
    if not isinstance(error, SteadypoolError):
        refused = EngineRefused(f"the store cannot keep this: {type(error).__name__}: {error} (nothing was enqueued)")
        refused.nothing_happened = True
        refused.__cause__ = error
        return refused
    if isinstance(error, EngineError):
        told = "nothing was enqueued" if error.nothing_happened else "the jobs may or may not have been enqueued"
        copy = type(error)(f"{error} ({told})")
        copy.nothing_happened = error.nothing_happened
        copy.__cause__ = error
        return copy
    return error
