"""Calls code of the user's for a thread that must go on: aside, and for a moment at most.

A ``repr``, a ``__str__`` or an ``__instancecheck__`` may ask a database that is down. It runs on a thread of its own,
and the caller goes on without its answer.

A call that hangs is left alone. So that many of them cost neither time nor threads without end, all calls share an
allowance: it is used up by waiting, and comes back slowly. A caller that asks when there is none left gets the answer
for "it would take too long" at once.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any, TypeVar

from steadypool.model.clock import monotonic

T = TypeVar("T")

MOST_SECONDS = 0.2
"""How long calls that hang may hold up the caller at a stretch, all together."""
ONE_CALL = 0.1
"""How long one call may."""
COMES_BACK = 0.1
"""Seconds of allowance that a second brings."""
FREE = 0.005
"""Seconds of a call that cost no allowance."""
LEAST = 0.001
MOST_HANGING = 8
"""Threads that may hang at a time."""


def run_elsewhere(call: Callable[[], object], seconds: float) -> bool:
    """Have a thread of its own run *call*, and wait up to *seconds*; whether it has ended by then.

    Raises:
        RuntimeError: no thread can be started.
    """
    ended = _thread.allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            call()
        finally:
            ended.release()

    _thread.start_new_thread(run, ())
    return ended.acquire(timeout=seconds)


class Aside:
    """The asides of one pool. From any thread."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._left = MOST_SECONDS
        self._counted = monotonic()
        self._hanging = 0

    def call(self, fn: Callable[[], T], otherwise: T) -> T:
        """What *fn* returns, or *otherwise* if that takes too long. Raises what *fn* raises.

        But not what would end the caller's program, such as a SystemExit: a ``__str__`` is not to decide that.
        """
        seconds = self._allowance()
        if seconds < LEAST:
            return otherwise
        answer: list[Any] = []

        def run() -> None:
            try:
                answer.append((fn(), None))
            except BaseException as error:
                answer.append((None, error))
            with self._lock:
                self._hanging -= 1

        began = monotonic()
        try:
            came = run_elsewhere(run, seconds)
        except RuntimeError:  # no thread can be started
            with self._lock:
                self._hanging -= 1
            return otherwise
        with self._lock:
            self._left -= max(0.0, monotonic() - began - FREE)
        if not came:
            return otherwise
        value, error = answer[0]
        if error is not None:
            if not issubclass(type(error), Exception):
                raise RuntimeError(f"it raised {type(error).__name__}") from error
            raise error
        return value  # type: ignore[no-any-return]

    def _allowance(self) -> float:
        """How long a call may take now. If it may at all, it is counted as hanging until it ends."""
        with self._lock:
            now = monotonic()
            self._left = min(MOST_SECONDS, self._left + (now - self._counted) * COMES_BACK)
            self._counted = now
            if self._hanging >= MOST_HANGING or self._left < LEAST:
                return 0.0
            self._hanging += 1
            return min(self._left, ONE_CALL)
