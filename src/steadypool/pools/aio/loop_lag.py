"""Feels, from other threads, whether an event loop still goes round.

One question at a time is on the loop, however many ask: a loop that is blocked for an hour has one to answer when it
goes on, and all who ask meanwhile soon learn for how long it has not.
"""

from __future__ import annotations

import asyncio
import threading

from steadypool.model.clock import monotonic

SHORT = 0.1
"""Seconds that a caller waits for the answer to an old question."""


class Pulse:
    """Any thread but the loop's own may call `lag`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0.0
        self._answered: threading.Event | None = None

    def lag(self, loop: asyncio.AbstractEventLoop, patience: float) -> float | None:
        """Seconds for which the loop has not answered, at least; 0.0 if it does; ``None`` if it is closed.

        It waits for an answer until the question is *patience* seconds old; a little also if it is older, since the
        loop may just have gone on.
        """
        try:
            asked, answered = self._ask(loop)
        except RuntimeError:
            return None
        if answered.wait(max(min(patience, SHORT), asked + patience - monotonic())):
            return 0.0
        return None if loop.is_closed() else monotonic() - asked

    def _ask(self, loop: asyncio.AbstractEventLoop) -> tuple[float, threading.Event]:
        """Put a question to the loop, unless there is one."""
        with self._lock:
            if self._answered is None or self._answered.is_set():
                answered = threading.Event()
                asked = monotonic()
                loop.call_soon_threadsafe(answered.set)
                self._asked, self._answered = asked, answered
            return self._asked, self._answered
