"""The input of a map: read on the caller's thread where it never waits, else by a thread of the map's own.

Theory of operation
-------------------
An input may block for as long as it likes: a message queue, ``tail -f``, pages of an API. The caller's thread must not
be in there while results are ready for it. So there are two kinds of input. Their types alone decide, so that a
program behaves the same each time:

* **Inputs that never wait** (lists, ranges, their iterators; see `NEVER_WAIT`), and what the caller asks to read
  itself (``read_here``). The window reads them on the caller's thread, whenever a result was given.
* **All others.** `ReadAhead` has a thread, the reader, that reads an item, submits it, and goes on while there is
  room in the window. The caller only waits for results.

What is shared between the two threads, and who may touch it:

* ``_submitted`` is written by the thread that holds ``_turn``, ``_given`` by the caller alone. In flight is the
  difference. The reader takes an item only while items in flight, those read and that one fit the window, so the bound
  holds exactly.
* Submitting is done under ``_turn``, item by item in the order of the input. The reader does it when a chunk is full,
  or the input has ended, or there is no more room; the caller when it waits, nothing is in flight, and the input lets
  less than a chunk lie (`ReadAhead.submit_read`).
* Where the pool says how many items travel together, an input that waits must hold up none that it has given. An item
  for which it took long is submitted at once, with those before it; others gather for `GATHER_SECONDS`. The reader sees
  to that when it reads the next one. Should the input wait then, the supervisor does, a moment later.
* The caller sleeps for input in `ReadAhead.wait` and says so first (``_starved``), then looks again. The reader adds a
  leg, then looks at ``_starved``. Either sees the other. The same holds for ``_parked`` the other way round.
* The pool may close while the input blocks: `Core.at_close` wakes the caller, who finds that nothing more can be
  submitted, and ends the map without the reader (`ReadAhead.wait`).
* The end: ``failure`` is written before ``_ended``. A caller that sees ``_ended`` has seen every leg.
* Closing: ``_closed`` is set, then the caller cancels the legs. The reader adds a leg, then looks at ``_closed`` and
  cancels what it added. Either cancels it.

A closed map cannot get a thread out of an input that blocks. The thread is a daemon, refers to nothing but the map, and
ends with the next item; the input is freed there. Closing waits `LET_GO` for a reader that is in the input, since the
caller may go on with it.

The first window: ``map`` returns when it is submitted, or when the input has let the reader wait for `PATIENCE` in
all. The reader goes on with the window on its own. Leaving the ``with`` block of the pool waits for the first windows
of maps that no caller has read, so that jobs of a map that is dropped unread are not lost.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, Protocol, TypeVar

from steadypool.model.clock import monotonic
from steadypool.pools.core.core import Core
from steadypool.pools.core.job_errors import forked_error
from steadypool.pools.core.shared import Args
from steadypool.pools.executor.legs import Leg, items_of
from steadypool.primitives.thread_start import has_begun

R = TypeVar("R")

PATIENCE = 0.2
"""Seconds that an input may let ``map`` wait before that returns with less than its first window submitted."""
LINGER = 0.02
"""Seconds that the caller waits for a chunk to be full, while it has nothing else to wait for."""
GATHER_SECONDS = 0.001
"""How long items gather where the pool says how many travel together."""
LET_GO = 0.1
"""Seconds that closing a map waits for its reader to come out of the input."""

_EMPTY: tuple[Iterable[object], ...] = ([], (), range(0), range(1 << 70), set(), {}, "", "é", b"", bytearray(), deque())
NEVER_WAIT: frozenset[type] = frozenset(
    {
        *(list, tuple, range, set, frozenset, dict, str, bytes, bytearray, deque, itertools.count, itertools.repeat),
        *(type({}.keys()), type({}.values()), type({}.items())),
        *(type(iter(empty)) for empty in (*_EMPTY, {}.values(), {}.items())),
        *(type(reversed([])), type(reversed(range(0)))),
    }
)
"""Inputs that are there in full, or counted up."""


def never_waits(iterable: Iterable[object]) -> bool:
    """Whether reading it is known to take no time. Cursors of SQLite count too: no other thread may read them."""
    sqlite = sys.modules.get("sqlite3")
    return type(iterable) in NEVER_WAIT or (sqlite is not None and isinstance(iterable, sqlite.Cursor))


class Window(Protocol[R]):
    """What a reader asks of the window that it fills."""

    core: Core
    inputs: Iterator[Args]
    size: int
    chunk: int | None
    failure: BaseException | None
    add: Callable[[Leg[R]], object]

    def together(self) -> int:
        """How many items are to gather for the next leg."""

    def submit(self, batch: list[Args]) -> Iterable[Leg[R]]:
        """Submit these; gives each new leg."""

    def wake(self) -> None:
        """End a wait for input."""

    def forget_input(self) -> None:
        """Nothing more will be submitted."""


class ReadAhead(Generic[R]):
    """Reads the input of a *window* on a thread of its own and submits what it reads."""

    def __init__(self, window: Window[R]) -> None:
        self._window = window
        self._inputs: Iterator[Args] | None = window.inputs
        self._read: list[Args] = []
        self._turn = threading.Lock()
        # Reentrant: the garbage collector may close a map wherever it likes.
        self._changed = threading.Condition(threading.RLock())
        self._submitted = self._given = 0
        self._starved = self._parked = self._full = self._closed = self._ended = False
        self._together, self._since = 1, 0.0
        """How many items are to gather, and since when they do."""
        self._look_planned = False
        self._took = self._in_input = 0.0
        """Seconds that the input has taken, for the last item and for all."""
        self._entered: float | None = None
        """Since when the reader is in it."""
        self.unread = True
        """Whether the caller has asked for nothing yet."""
        own = window.core.workers.waits.is_own_thread()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run, own), name=f"{window.core.name}-input", daemon=True
        )

    # -- the caller's side

    def begin(self) -> bool:
        """Start reading, and wait for the first window or for `PATIENCE`. False: no thread can be started."""
        core = self._window.core
        try:
            core.opening_maps.add(self.await_first_window)
            core.at_close.append(self._window.wake)
            self._thread.start()
            self._await_first_window(PATIENCE)
        except RuntimeError:
            if has_begun(self._thread):
                raise
            self._leave_core()
            return False
        except BaseException:  # Ctrl-C
            self.close(wanted=False)
            raise
        return True

    def await_first_window(self) -> None:
        """Wait until it is submitted, unless the map is read or closed meanwhile."""
        self._await_first_window(None)

    def _await_first_window(self, patience: float | None) -> None:
        with self._changed:
            while not (self._full or self._ended or self._closed):
                seconds = None if patience is None else patience - self._seconds_in_input()
                if (seconds is not None and seconds <= 0) or (patience is None and not self.unread):
                    return
                self._changed.wait(seconds)

    def _leave_core(self) -> None:
        core = self._window.core
        core.opening_maps.discard(self.await_first_window)
        with suppress(ValueError):
            core.at_close.remove(self._window.wake)

    def _seconds_in_input(self) -> float:
        entered = self._entered
        return self._in_input + (0.0 if entered is None else monotonic() - entered)

    def in_flight(self) -> int:
        """How many items were submitted, less those given to the caller."""
        return self._submitted - self._given

    def has_more(self) -> bool:
        """Whether anything is in flight or may come to be."""
        return not (self._ended or self._closed) or self.in_flight() > 0

    def was_read(self) -> None:
        """The caller asks for results: it need not be waited for any more."""
        self.unread = False
        self._window.core.opening_maps.discard(self.await_first_window)
        self._notify()

    def gave(self, items: int) -> None:
        """The caller was given so many."""
        self._given += items
        if self._parked:
            self._notify()

    def wait(self, sleep: Callable[[float | None], object], is_there: Callable[[], object], left: float | None) -> None:
        """Wait by *sleep* until the reader has added a leg, or has ended; or for *left* seconds.

        May return early: look, and wait again. The reader ends the sleep by the window's ``wake``.
        """
        self._starved = True
        try:
            if is_there() or self._ended or self._pool_is_closed():
                return
            part = (self._window.chunk or 1) > 1  # of a chunk: it has to be found here, whenever it comes
            sleep((LINGER if left is None else min(LINGER, left)) if part else left)
            if part and not is_there():
                self.submit_read()
        finally:
            self._starved = False

    def _pool_is_closed(self) -> bool:
        """Whether the pool takes no more, and all that it has taken was given. Then the map ends."""
        window, core = self._window, self._window.core
        if core.pid != os.getpid():
            raise forked_error(core)
        if core.refusal is None:
            return False
        with self._turn:
            if self.in_flight() > 0:
                return True  # look again
            self._closed = True
        if window.failure is None:
            window.failure = core.refusal()
        self._notify()
        return True

    def submit_read(self) -> None:
        """Submit what was read, though it is less than a chunk."""
        if self._turn.acquire(timeout=LINGER):
            try:
                self._submit()
            finally:
                self._turn.release()

    def _look_at_gathered(self) -> None:
        """On the supervisor: have what has gathered for long submitted by a thread that may run the user's code."""
        self._look_planned = False
        if not self._read:
            return
        if monotonic() - self._since < GATHER_SECONDS:
            self._plan_look()
        else:
            self._window.core.user_calls.deliver(self._submit_gathered, "submitting items of a map")

    def _plan_look(self) -> None:
        self._look_planned = True
        self._window.core.call_later(GATHER_SECONDS, self._look_at_gathered)

    def _submit_gathered(self) -> None:
        try:
            self.submit_read()
        except Exception as error:  # it has closed meanwhile
            if self._window.failure is None:
                self._window.failure = error

    def close(self, *, wanted: bool) -> None:
        """Read no more; with *wanted*, still submit the first window."""
        if wanted and not self._full:
            self._size_is_final = True
            return
        self._closed = True
        self._leave_core()
        self._notify()
        if self._thread is not threading.current_thread() and self._entered is not None:
            with self._changed:
                self._changed.wait_for(lambda: self._entered is None, LET_GO)

    def _notify(self) -> None:
        if self._window.core.pid == os.getpid():  # in a forked child, the reader may hold the lock for ever
            with self._changed:
                self._changed.notify_all()

    # -- the reader's side

    _size_is_final = False
    """The caller will take no more results: what does not fit the window is not read."""

    def _run(self, own: bool) -> None:
        window = self._window
        if own:
            window.core.mark_own_thread()  # a job maps over its own pool: it is let in as the job itself
        try:
            while self._has_room() and (item := self._next()) is not None:
                with self._turn:
                    self._read.append(item)
                    if self._is_whole():
                        self._submit()
                del item
            with self._turn:
                self._submit()
        except BaseException as error:
            self._failed(error)
        finally:
            self._inputs = None
            window.forget_input()  # one that cleans up does it here, on the thread that has read it
            self._ended = True
            self._leave_core()
            window.wake()
            self._notify()

    def _is_whole(self) -> bool:
        """Whether what was read is to be submitted now. ``_turn`` is held."""
        now = monotonic()
        if len(self._read) == 1:
            self._together, self._since = self._window.together(), now
        if len(self._read) >= self._together:
            return True
        if self._window.chunk is not None:
            return False
        if max(self._took, now - self._since) > GATHER_SECONDS:
            return True
        if not self._look_planned:
            self._plan_look()
        return False

    def _failed(self, error: BaseException) -> None:
        window = self._window
        if window.failure is None:
            window.failure = error
        try:
            with self._turn:
                self._submit()
        except BaseException as closed:
            window.failure = closed

    def _has_room(self) -> bool:
        """Wait for room in the window; false if nothing more is to be read."""
        window = self._window
        while not (self._closed or self._fits()):
            with self._turn:
                self._submit()
            self._full = True
            window.core.opening_maps.discard(self.await_first_window)
            if self._size_is_final:
                return False
            with self._changed:
                self._changed.notify_all()
                self._parked = True
                self._changed.wait_for(lambda: self._closed or self._size_is_final or self._fits())
                self._parked = False
        return not self._closed

    def _fits(self) -> bool:
        more = len(self._read) + 1 if self._read else self._window.chunk or 1
        return self._submitted + more - self._given <= self._window.size

    def _next(self) -> Args | None:
        assert self._inputs is not None
        self._entered = began = monotonic()
        try:
            return next(self._inputs, None)
        except BaseException as error:
            if "thread" in str(error):
                error.add_note(_THREAD_BOUND)
            raise
        finally:
            self._entered = None
            self._took = monotonic() - began
            self._in_input += self._took
            if self._closed:
                self._notify()

    def _submit(self) -> None:
        """Submit what was read. ``_turn`` is held."""
        batch, self._read = self._read, []
        if not batch or self._closed:
            return
        for leg in self._window.submit(batch):
            self._submitted += items_of(leg)
            self._window.add(leg)
            if self._starved:
                self._window.wake()
            if self._is_too_late(leg):
                return

    def _is_too_late(self, leg: Leg[R]) -> bool:
        if self._closed:
            leg.cancel()
        return self._closed


_THREAD_BOUND = (
    "(A map reads an input that may wait on a thread of its own. If this one must be read by the thread that made it, "
    "such as a database cursor, say map(..., read_here=True).)"
)
