"""Runs code of the user's for a thread that must not run any: the supervisor.

Errands run in order, on a thread that lives while there is something to run and a moment longer. One that hangs holds
up those behind it until `requeue_overdue` is called, which has another thread go on with them.
"""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from steadypool.model.clock import monotonic
from steadypool.primitives.thread_start import has_begun

LINGER = 0.5
"""Seconds that the thread waits for another errand before it ends."""
MOST_LATE = 32
"""Threads that may hang at a time; beyond that the rest waits."""


class Errand(NamedTuple):
    """What is to be run, and what a report says of it if it does not end."""

    run: Callable[[], object]
    about: str


class Late(NamedTuple):
    """An errand that has not ended."""

    about: str
    seconds: float
    thread: int
    """The identifier of the thread that runs it."""


class _Runner:
    """One thread, and what it runs now."""

    __slots__ = ("began", "errand", "ident")

    def __init__(self) -> None:
        self.errand: Errand | None = None
        self.began = 0.0
        self.ident = 0


class CallbackThread:
    """Runs what it is given, in order. Any thread may call any method."""

    def __init__(self, name: str, on_thread_start: Callable[[], None], most: int | None = None) -> None:
        self._name = name
        self._on_thread_start = on_thread_start
        self._most = most
        """How many errands may wait; ``None``: any number."""
        self._errands: deque[Errand] = deque()
        # Reentrant: a finalizer that the garbage collector runs in the middle may bring an errand.
        self._lock = threading.RLock()
        self._lingers = True
        self._waker = _thread.allocate_lock()
        """Where the thread waits for another errand."""
        self._waker.acquire()
        self._is_parked = False
        self._runner: _Runner | None = None
        """The one that takes the next errand."""
        self._late: set[_Runner] = set()
        """Those that others have relieved."""
        self._idle = threading.Event()
        self._idle.set()

    def run(self, call: Callable[[], object], about: str = "") -> bool:
        """Have *call* called soon; it must not raise. False: there are too many already, and it never will be."""
        thread: threading.Thread | None = None
        runner: _Runner | None = None
        try:
            with self._lock:
                if self._most is not None and len(self._errands) >= self._most:
                    return False
                self._errands.append(Errand(call, about))
                self._idle.clear()
                if self._is_parked:
                    self._is_parked = False
                    self._waker.release()
                    return True
                if self._runner is not None:
                    return True
                runner = _Runner()
                thread = self._thread_for(runner)
                self._runner = runner
            thread.start()
        except RuntimeError:
            assert runner is not None
            self._lingers = False
            self._run(runner)  # no thread can be started (from 3.12 on: at interpreter exit)
        except BaseException:  # Ctrl-C: the next errand starts a thread for this one, too
            if thread is not None and not has_begun(thread):
                self._runner = None
                self._idle.set()
            raise
        return True

    def end(self) -> None:
        """There will be few errands from now on, if any: the thread need not wait for more."""
        with self._lock:
            self._lingers = False
            if self._is_parked:
                self._is_parked = False
                self._waker.release()

    def has_more(self) -> bool:
        """Whether something waits behind what runs now."""
        return bool(self._errands)

    def backlog(self) -> int:
        """How many errands wait."""
        return len(self._errands)

    def is_idle(self) -> bool:
        """Whether everything has been run."""
        return self._idle.is_set()

    def requeue_overdue(self, after: float) -> None:
        """If what runs now has for *after* seconds, and more waits, have another thread go on."""
        with self._lock:
            runner = self._runner
            if runner is None or runner.errand is None or not self._errands or monotonic() - runner.began < after:
                return
            if len(self._late) >= MOST_LATE:
                return
            fresh = _Runner()
            thread = self._thread_for(fresh)
            self._late.add(runner)
            self._runner = fresh
        try:
            thread.start()
        except RuntimeError:
            with self._lock:  # no thread can be started: things stay as they were
                self._late.discard(runner)
                self._runner = runner

    def late(self) -> list[Late]:
        """What runs now, the oldest first."""
        with self._lock:
            now = monotonic()
            runners = [*self._late, *([] if self._runner is None else [self._runner])]
            rows = [Late(r.errand.about, now - r.began, r.ident) for r in runners if r.errand is not None]
        return sorted(rows, key=lambda row: -row.seconds)

    def wait_idle(self, seconds: float | None) -> bool:
        """Wait until everything has been run; false if something still runs after *seconds*."""
        return self._idle.wait(seconds)

    def _thread_for(self, runner: _Runner) -> threading.Thread:
        return threading.Thread(target=self._run, args=(runner,), name=f"{self._name}-callbacks", daemon=True)

    def _run(self, runner: _Runner) -> None:
        runner.ident = threading.get_ident()
        self._on_thread_start()
        while (errand := self._next(runner)) is not None:
            errand.run()
            del errand  # or the last one's would be kept while this waits

    def _next(self, runner: _Runner) -> Errand | None:
        """The next errand for this thread; ``None``: it is to end."""
        while True:
            with self._lock:
                runner.errand = None
                if self._runner is not runner:  # it was relieved
                    self._late.discard(runner)
                    self._note_idle()
                    return None
                if self._errands:
                    runner.errand, runner.began = self._errands.popleft(), monotonic()
                    return runner.errand
                self._note_idle()
                if not self._lingers:
                    self._runner = None
                    return None
                self._is_parked = True
            if self._waker.acquire(timeout=LINGER):
                continue
            with self._lock:
                if self._is_parked:
                    self._is_parked = False
                    self._runner = None
                    return None
            self._waker.acquire()  # woken just now

    def _note_idle(self) -> None:
        """The lock is held."""
        if not self._errands and not self._late:
            self._idle.set()
