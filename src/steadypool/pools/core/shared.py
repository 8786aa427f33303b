"""What all parts of one pool look at: its state, its queue, its timers, and the lock under which they change."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolBroken, PoolClosed
from steadypool.model.states import PoolState, move
from steadypool.pools.core.settings import Settings
from steadypool.primitives.future import JobFuture
from steadypool.primitives.job_queue import JobQueue
from steadypool.primitives.run_times import RunTimes
from steadypool.primitives.timers import Timers

Job = JobFuture[Any]
"""A job whose result is not looked at here."""
Args = tuple[object, ...]
Kwargs = dict[str, object]


class Wakeup(Protocol):
    """How the supervisor is woken."""

    def ring(self) -> None:
        """Have it look at what there is to do."""


class Shared:
    """The state of one pool."""

    def __init__(self, settings: Settings, max_workers: int, bell: Wakeup) -> None:
        self.settings = settings
        self.name = settings.name
        self.options = settings.options
        self.max_workers = max_workers
        self.bell = bell
        self.lock = threading.RLock()
        self.queue: JobQueue[Any] = JobQueue(sys.maxsize if settings.queue_size is None else settings.queue_size)
        self.timers = Timers()
        self.run_times = RunTimes()
        self.next_wake = float("inf")
        """When the supervisor wakes on its own; a worker with an earlier deadline rings."""
        self.state = PoolState.OPEN
        self.refusal: Callable[[], PoolClosed] | None = None
        """Makes the error for a submit; ``None`` while the pool takes jobs."""
        self.attention = False
        """Workers look at this between two jobs; true when the pool wants something of them."""
        self.broken_by: BaseException | None = None
        self._broken_how = ""
        self.supervisors: set[int] = set()
        """Threads that run the supervisor's loop now: usually one. No code of the user's runs there."""
        self.pid = os.getpid()
        self._threads = threading.local()
        self.opened = monotonic()

    def mark_own_thread(self) -> None:
        """The calling thread runs callbacks of this pool from now on."""
        self._threads.own = True

    def is_marked_thread(self) -> bool:
        """Whether the calling thread does."""
        return hasattr(self._threads, "own")

    def call_later(self, seconds: float, action: Callable[..., None], *args: object) -> None:
        """Have the supervisor call *action* in so many seconds."""
        moment = monotonic() + seconds
        with self.lock:
            self.timers.add(moment, action, *args)
        self.wake_before(moment)

    def wake_before(self, moment: float) -> None:
        """Have the supervisor awake at *moment*."""
        if moment < self.next_wake:
            self.bell.ring()

    def move_to(self, state: PoolState) -> None:
        """Make a legal move. The lock is held."""
        self.state = move(self.state, state)

    def is_closed(self) -> bool:
        """Whether every job has its outcome."""
        return self.state is PoolState.CLOSED

    @property
    def public_state(self) -> PoolState:
        """The state to show: draining from the moment a drain was asked for, since jobs are refused from then on."""
        state = self.state
        asked = state is PoolState.OPEN and self.refusal == self.closed_error
        return PoolState.DRAINING if asked else state

    def break_by(self, error: BaseException, how: str) -> None:
        """The pool is broken, by the first such error. It takes no more jobs."""
        with self.lock:
            if self.broken_by is None:
                self._broken_how = how
                self.broken_by = error
        self.refusal = self.broken_error

    def broken_error(self) -> PoolBroken:
        """What the jobs of a broken pool get."""
        error = PoolBroken(f"cannot schedule new futures: pool {self.name!r} is broken, {self._broken_how}")
        error.__cause__ = self.broken_by
        return error

    def closed_error(self) -> PoolClosed:
        """What a submit to this pool gets once it takes no more jobs."""
        if self.broken_by is not None:
            return self.broken_error()
        state = self.public_state.value
        return PoolClosed(f"cannot schedule new futures after shutdown: pool {self.name!r} is {state}")
