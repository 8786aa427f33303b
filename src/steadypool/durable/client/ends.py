"""Waiting for jobs to end, for all threads of a process that do: with one listener, and one look for all.

Theory of operation: of the threads that wait one **leads**. It waits for news, asks the engine at each which of all
those jobs have not ended, and wakes the threads of the others. The rest sleep on an event each. Who stops waiting,
for whatever reason, hands the lead to another, which looks first: nothing that the one before has heard is lost.

A thread joins first and looks at its job second, so that an end between the two is looked for by who leads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from steadypool.durable.engine.protocol import Engine, Listener
from steadypool.durable.engine.records import JobKey
from steadypool.model.clock import monotonic

LOOK_AGAIN = 1.0
"""Seconds after which who leads looks for itself: news of ends may be lost."""


class Waiter:
    """One thread that waits for one job."""

    def __init__(self, ends: Ends, job: JobKey) -> None:
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


class Ends:
    """Of one queue, in one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiters: dict[Waiter, None] = {}
        self._leader: Waiter | None = None
        self._listener: Listener | None = None

    @contextmanager
    def of(self, job: JobKey) -> Iterator[Waiter]:
        """A ``with`` block in which the calling thread may wait for that job."""
        waiter = Waiter(self, job)
        try:
            with self._lock:
                self._waiters[waiter] = None
                if self._listener is None:
                    self._listener = self._engine.listener("ends")
            yield waiter
        finally:
            self._leave(waiter)

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
            waiters = list(self._waiters)
        not_ended = self._engine.not_ended([waiter.job for waiter in waiters])
        for waiter in waiters:
            if waiter.job not in not_ended:
                waiter.may_have_ended = True
                waiter.event.set()

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
