"""Wakes one sleeping thread. Ringing takes no lock that a signal handler could find held."""

from __future__ import annotations

import _thread
import threading

from steadypool.model.clock import monotonic


class Bell:
    """A bell that stays rung until it is heard.

    ``ring`` may be called from anywhere, a signal handler or a finalizer included; ``wait`` from one thread at a time.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread in `wait`, or the next one to call it."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # rung already, and not heard yet

    def wait(self, until: float | None) -> None:
        """Return when rung, or at *until* (`time.monotonic`; ``None``: never)."""
        if until is None:
            self._lock.acquire()
        else:
            seconds = min(max(until - monotonic(), 0.0), threading.TIMEOUT_MAX)
            self._lock.acquire(timeout=seconds)
