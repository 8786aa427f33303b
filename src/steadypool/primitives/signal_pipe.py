"""Signals, reported by a thread of its own: for code that must hear of one though the main thread is held up.

Python runs signal handlers on the main thread alone, between two of its steps. The kernel may deliver a signal to
another thread, and if the main thread waits for a lock by then, or is inside C code, its handler runs when that ends,
which may be never. But each signal that has a Python handler is written to Python's *wake-up descriptor* at once, on
whatever thread it comes. Here that is a pipe with a thread at its other end.

A process has one such descriptor. So there is one pipe for all who listen; an event loop that has the
descriptor keeps it (its thread does not wait for locks), and one that takes it later has it from then on. Then
`is_heard` is false, and a handler has to do its work itself.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

Listener = Callable[[int], None]


class SignalPipe:
    """Tells listeners the number of each signal. For the main thread, but for the telling itself."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._rope: int | None = None

    def listen(self, listener: Listener) -> bool:
        """Have *listener* called, on the pipe's thread, with the number of each signal; false if that cannot be."""
        if self._rope is None and not self._open():
            return False
        self._listeners = (*self._listeners, listener)
        return True

    def leave(self, listener: Listener) -> None:
        """Do not call it any more. With the last one the descriptor is given back."""
        self._listeners = tuple(other for other in self._listeners if other != listener)
        if self._listeners or self._rope is None:
            return
        rope, self._rope = self._rope, None
        if (now := signal.set_wakeup_fd(-1)) not in (rope, -1):
            signal.set_wakeup_fd(now)  # other code has set it meanwhile
        os.close(rope)

    def is_heard(self) -> bool:
        """Whether the descriptor is still ours."""
        if self._rope is None:
            return False
        # There is no way to ask but to set it. What comes between the two lines has a handler that asks again.
        now = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(now, warn_on_full_buffer=False)
        return now == self._rope

    def forget(self) -> None:
        """In a forked child: its signals are not the parent's."""
        if self._rope is not None:
            rope, self._rope = self._rope, None
            self._listeners = ()
            if (now := signal.set_wakeup_fd(-1)) != rope:
                signal.set_wakeup_fd(now)
            os.close(rope)

    def _open(self) -> bool:
        seen, rope = os.pipe()
        os.set_blocking(rope, False)
        others = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        if others != -1:
            signal.set_wakeup_fd(others)
            os.close(rope)
            os.close(seen)
            return False
        self._rope = rope
        threading.Thread(target=self._read, args=(seen,), name="steadypool-signals", daemon=True).start()
        return True

    def _read(self, seen: int) -> None:
        while received := os.read(seen, 1024):
            for number in received:
                for listener in self._listeners:
                    listener(number)
        os.close(seen)


pipe = SignalPipe()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pipe.forget)
