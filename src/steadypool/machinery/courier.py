"""Runs done-callbacks for a thread that must not run code of the user's: the supervisor.

A callback that hangs then holds up later callbacks of jobs that were timed out or given back, and nothing else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from steadypool.machinery.interrupted_start import has_begun


class Courier:
    """Runs what it is given, in order, on a thread that lives only while there is something to run."""

    def __init__(self, name: str, on_thread_start: Callable[[], None]) -> None:
        self._name = name
        self._on_thread_start = on_thread_start
        self._errands: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def carry(self, errand: Callable[[], None]) -> None:
        """Have *errand* run soon. It must not raise."""
        thread: threading.Thread | None = None
        try:
            with self._lock:
                self._errands.append(errand)
                if not self._idle.is_set():
                    return
                thread = threading.Thread(target=self._run, name=f"{self._name}-callbacks", daemon=True)
                self._idle.clear()
            thread.start()
        except RuntimeError:
            self._run()  # no thread can be started (from 3.12 on: at interpreter exit)
        except BaseException:  # Ctrl-C: the next errand starts a thread for this one, too
            if thread is not None and not has_begun(thread):
                self._idle.set()
            raise

    def wait_idle(self, seconds: float | None) -> bool:
        """Wait until everything has been run; false if something still runs after *seconds*."""
        return self._idle.wait(seconds)

    def _run(self) -> None:
        self._on_thread_start()
        while True:
            with self._lock:
                if not self._errands:
                    self._idle.set()
                    return
                errand = self._errands.popleft()
            errand()
