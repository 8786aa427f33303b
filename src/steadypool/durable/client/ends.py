"""Waiting for jobs to end, for all threads and asyncio tasks of a process: with one listener, and one look for all.

Theory of operation: of the threads that wait one **leads**. It waits for news, asks the engine at each which of all
those jobs have not ended, and wakes the threads of the others. The rest sleep on an event each. Who stops waiting,
for whatever reason, hands the lead to another, which looks first: nothing that the one before has heard is lost.

A thread joins first and looks at its job second, so that an end between the two is looked for by who leads.

An asyncio task cannot lead. While some wait, one thread of this module's waits among the others, for all tasks of all
loops. A task joins and rings for who leads, which looks at once: so a thousand tasks that join are looked at together.
What a task itself looks at, it has another thread do, `Ends.looks`: one for all, and none of its loop's executor, whose
threads may all wait for that very task.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from steadypool.durable.engine.protocol import Engine, Listener
from steadypool.durable.engine.records import JobKey
from steadypool.model.clock import monotonic

LOOK_AGAIN = 1.0
"""Seconds after which who leads looks for itself: news of ends may be lost."""


class Sleeper(Protocol):
    """One asyncio task that waits for one job."""

    job: JobKey

    def wake(self) -> None:
        """The job may have ended. From any thread; quick; never raises."""


class Waiter:
    """One thread that waits for one job, or for all tasks (then *job* is ``None``)."""

    def __init__(self, ends: Ends, job: JobKey | None) -> None:
        self._ends = ends
        self.job = job
        self.event = threading.Event()
        """It leads from now on, or its job may have ended."""
        self.may_have_ended = False

    def wait(self, seconds: float) -> None:
        """Return when the job may have ended, or after *seconds*.

        Raises:
            EngineError, SchemaMismatch: the engine could not say.
        """
        self._ends.wait(self, seconds)

    def wake(self) -> None:
        """Its job may have ended, or the last task has left."""
        self.may_have_ended = True
        self.event.set()


class Ends:
    """Of one queue, in one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiters: dict[Waiter, None] = {}
        self._sleepers: dict[Sleeper, None] = {}
        self._for_sleepers: Waiter | None = None
        """The thread that waits for all of those."""
        self._leader: Waiter | None = None
        self._listener: Listener | None = None
        self.looks = ThreadPoolExecutor(1, "steadypool-looks")
        """Looks at jobs for asyncio tasks. Its thread starts when it is first needed."""

    @contextmanager
    def of(self, job: JobKey) -> Iterator[Waiter]:
        """A ``with`` block in which the calling thread may wait for that job."""
        waiter = Waiter(self, job)
        try:
            self._join(waiter)
            yield waiter
        finally:
            self._leave(waiter)

    @contextmanager
    def woken(self, sleeper: Sleeper) -> Iterator[None]:
        """A ``with`` block in which that asyncio task is woken when its job may have ended; at once if it has."""
        try:
            self._join_sleeper(sleeper)
            yield
        finally:
            with self._lock:
                self._sleepers.pop(sleeper, None)
                if not self._sleepers and self._for_sleepers is not None:
                    self._for_sleepers.wake()
                    self._wake_leader()

    def close(self) -> None:
        """No task looks any more."""
        self.looks.shutdown(wait=False)

    def wait(self, waiter: Waiter, seconds: float) -> None:
        """See `Waiter.wait`."""
        until = monotonic() + seconds
        while not waiter.may_have_ended and (left := until - monotonic()) > 0:
            if self._leads(waiter) and not waiter.event.is_set():
                assert self._listener is not None
                self._listener.wait(min(LOOK_AGAIN, left))
            else:
                waiter.event.wait(left)
            waiter.event.clear()
            if self._leader is waiter:
                self._look()
        waiter.may_have_ended = False

    def _leads(self, waiter: Waiter) -> bool:
        with self._lock:
            if self._leader is None:
                self._leader = waiter
            return self._leader is waiter

    def _look(self) -> None:
        with self._lock:
            everyone: list[Waiter | Sleeper] = [*self._waiters, *self._sleepers]
        waiters = [(waiter.job, waiter) for waiter in everyone if waiter.job is not None]
        not_ended = self._engine.not_ended([job for job, _ in waiters])
        for job, waiter in waiters:
            if job not in not_ended:
                waiter.wake()

    def _join(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiters[waiter] = None
            self._listen()

    def _join_sleeper(self, sleeper: Sleeper) -> None:
        with self._lock:
            self._sleepers[sleeper] = None
            self._listen()
            if self._for_sleepers is None:
                waiter = Waiter(self, None)
                threading.Thread(target=self._lead, args=(waiter,), name="steadypool-ends", daemon=True).start()
                self._for_sleepers = waiter
            self._for_sleepers.event.set()
            self._wake_leader()

    def _lead(self, waiter: Waiter) -> None:
        """Wait for all tasks, as long as there are any."""
        self._join(waiter)
        try:
            while self._has_sleepers():
                try:
                    self.wait(waiter, LOOK_AGAIN)
                except Exception:
                    # Each looks for itself now, and has the error.
                    for sleeper in list(self._sleepers):
                        sleeper.wake()
        finally:
            self._leave(waiter)

    def _has_sleepers(self) -> bool:
        with self._lock:
            if not self._sleepers:
                self._for_sleepers = None  # and the next task starts another
            return self._for_sleepers is not None

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._engine.listener("ends")

    def _wake_leader(self) -> None:
        if self._listener is not None:
            self._listener.wake()

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiters.pop(waiter, None)
            if self._leader is waiter:
                self._leader = next(iter(self._waiters), None)
                if self._leader is not None:
                    self._leader.event.set()
            listener = None
            if not self._waiters:
                listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
