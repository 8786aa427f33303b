"""Wakes one sleeping thread: one that waits for nothing else, or one that waits for descriptors too.

Ringing takes no lock that a signal handler could find held.
"""

from __future__ import annotations

import _thread
import os
import select
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from steadypool.model.clock import monotonic


class Waker(Protocol):
    """What waits: a lock, or anything whose ``release`` is quick and safe to call from any thread."""

    def release(self) -> object:
        """What it waited for has come. Called once."""


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


class PipeBell:
    """As `Bell`, with a descriptor that is readable while it is rung."""

    def __init__(self) -> None:
        self.fd, self.write_fd = os.pipe()
        """The second is for `signal.set_wakeup_fd` too."""
        os.set_blocking(self.fd, False)
        os.set_blocking(self.write_fd, False)
        self._rung = False

    def ring(self) -> None:
        """Wake the thread that waits for ``fd``; from anywhere."""
        if not self._rung:
            self._rung = True
            try:
                os.write(self.write_fd, b"!")
            except OSError:
                return  # full, so it is rung; or closed, so no thread is left to wake

    def heard(self) -> None:
        """Stop ringing. A ring after this is heard again; a ring during it is looked after at once."""
        # In this order: a ring between the two lines writes nothing, but what it rang for is there by now. The other
        # way round its byte would be read away and `_rung` stay set, and no ring would ever write again.
        with suppress(OSError):
            os.read(self.fd, 4096)
        self._rung = False

    def wait(self, seconds: float | None, watched: Mapping[int, int] | None = None) -> dict[int, int]:
        """Return when rung, when one of the *watched* descriptors is ready, or after *seconds*.

        Args:
            seconds: ``None`` for as long as it takes.
            watched: what to wait for on each descriptor, as `select.poll` has it.

        Returns:
            What is the matter with each descriptor that is ready.
        """
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        for descriptor, events in (watched or {}).items():
            poll.register(descriptor, events)
        ready = dict(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
        if ready.pop(self.fd, 0):
            self.heard()
        return ready

    def close(self) -> None:
        """No more ringing. The numbers are forgotten first: others may get them again."""
        fds = (self.fd, self.write_fd)
        self.fd = self.write_fd = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)
