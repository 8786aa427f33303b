"""Group commit for all threads of a process: as many jobs in one transaction as have gathered, by itself.

A commit waits for the disk, and costs about the same for one job as for a hundred. So whoever enqueues leaves the jobs
here. If nobody writes at the moment it takes the **turn** and writes itself: for one caller alone there is no other
thread to wake and to wait for. Else the writer's thread takes the next turn, writes everything that has gathered in one
transaction, and wakes everybody whose jobs were in it; while it commits, the next batch gathers. One caller alone waits
for one commit; 256 share one.

The main thread never writes: there Ctrl-C and signal handlers may come between any two lines, and a transaction that is
half-way is nothing to leave behind.

Order: what one thread enqueues is put in that order. What two threads enqueue is put in either.

Lost wake-ups: a caller appends first and tries for the turn second; whoever fails rings for the thread, which waits for
the turn and looks at what has gathered after that. A caller that gives the turn back and finds others left rings for
them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from steadypool.durable.engine import Engine
from steadypool.durable.errors import EngineBusy, EngineError
from steadypool.durable.records import NewJob, Placed
from steadypool.machinery.bell import Bell

LARGEST_BATCH = 1000
"""Jobs in one transaction: beyond it a commit costs in proportion, and others wait."""
SLACK = 5.0
"""Seconds beyond the engine's own patience after which a caller stops waiting for the writer."""


class Put:
    """Jobs to be put, and whoever waits for that."""

    __slots__ = ("done", "jobs")

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self.jobs = jobs
        self.done: Future[list[Placed]] = Future()


class Writer:
    """Puts jobs for all threads of a process. Its thread starts when it is first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[Put | None] = deque()
        self._bell = Bell()
        self._turn = threading.Lock()
        """Held by whoever writes."""
        self._turn_of: int | None = None
        """The thread of that caller, if it is one."""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, jobs: Sequence[NewJob]) -> list[Placed]:
        """Put the jobs; durable when it returns.

        Raises:
            EngineError: it may or may not have happened.
            EngineBusy: also for a finalizer that the garbage collector runs in the middle of an enqueue; nothing has
                happened then.
        """
        me = threading.get_ident()
        if self._turn_of == me:
            raise EngineBusy(
                "this thread is in the middle of an enqueue, which a finalizer has interrupted: nothing can be "
                "enqueued from there, and nothing was"
            )
        put = Put(jobs)
        self._waiting.append(put)
        if me != threading.main_thread().ident and self._turn.acquire(blocking=False):
            self._write_for_all(me)
        else:
            self._call_thread()
        return self.wait(put.done)

    def _write_for_all(self, me: int) -> None:
        """Write what has gathered, on the caller's thread, which has the turn."""
        self._turn_of = me
        try:
            self._write(self._take())
        finally:
            self._turn_of = None
            self._turn.release()
            if self._waiting:
                self._call_thread()

    def put_soon(self, jobs: Sequence[NewJob]) -> Future[list[Placed]]:
        """Put the jobs, without waiting: the future has the answer."""
        put = Put(jobs)
        self._waiting.append(put)
        self._call_thread()
        return put.done

    def wait(self, put: Future[list[Placed]]) -> list[Placed]:
        """Wait for the answer.

        Raises:
            EngineBusy: there was none for longer than the engine is patient.
        """
        seconds = self._engine.patience + SLACK
        try:
            return put.result(seconds)
        except TimeoutError:
            if put.done():
                raise
            raise EngineBusy(
                f"{self._engine.url} has not answered for {seconds:g} s; the job may yet be enqueued"
            ) from None

    def close(self) -> None:
        """Write what waits, end the thread, and close the engine."""
        thread = self._thread
        if thread is None:
            self._engine.close()
            return
        self._waiting.append(None)
        self._bell.ring()
        thread.join(self._engine.patience + SLACK)

    def _call_thread(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_all, name="steadypool-writer", daemon=True)
                    self._thread.start()
        self._bell.ring()

    def _write_all(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            self._bell.wait(None)
            with self._turn:
                while batch := self._take():
                    self._write(batch)
                if self._waiting and self._waiting[0] is None:
                    self._waiting.popleft()
                    self._thread = None  # before it is looked who is left: they start another
                    self._engine.close()
            if self._waiting:
                self._call_thread()

    def _take(self) -> list[Put]:
        """What waits, up to a batch; a single put may be larger."""
        batch: list[Put] = []
        size = 0
        while self._waiting and (first := self._waiting[0]) is not None:
            if batch and size + len(first.jobs) > LARGEST_BATCH:
                break
            self._waiting.popleft()
            batch.append(first)
            size += len(first.jobs)
        return batch

    def _write(self, batch: list[Put]) -> None:
        try:
            placed = self._engine.put_many([job for put in batch for job in put.jobs])
        except Exception as error:
            # Each caller gets an error of its own to raise: one object raised by many threads mixes up its tracebacks.
            for put in batch:
                put.done.set_exception(_copy(error))
            return
        start = 0
        for put in batch:
            put.done.set_result(placed[start : start + len(put.jobs)])
            start += len(put.jobs)


def _copy(error: Exception) -> Exception:
    if isinstance(error, EngineError):
        told = "nothing was enqueued" if error.nothing_happened else "the jobs may or may not have been enqueued"
        copy = type(error)(f"{error} ({told})")
        copy.nothing_happened = error.nothing_happened
        copy.__cause__ = error
        return copy
    return error
