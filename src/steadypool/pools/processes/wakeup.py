"""The bell of a pool of processes: it can be heard while waiting for sockets."""

from __future__ import annotations

import os
from contextlib import suppress


class PipeBell:
    """As `primitives.wakeup.Bell`, with a descriptor that is readable while it is rung."""

    def __init__(self) -> None:
        self.fd, self._rope = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._rope, False)
        self._rung = False

    def ring(self) -> None:
        """Wake the thread that waits for ``fd``; from anywhere."""
        if not self._rung:
            self._rung = True
            try:
                os.write(self._rope, b"!")
            except OSError:
                return  # full, so it is rung; or closed, so there is nobody left to wake

    def heard(self) -> None:
        """Stop ringing. Whoever rings after this is heard again; who rings during it is looked after at once."""
        # In this order: a ring between the two lines writes nothing, but what it rang for is there by now. The other
        # way round its byte would be read away and `_rung` stay set, and no ring would ever write again.
        with suppress(BlockingIOError):
            os.read(self.fd, 4096)
        self._rung = False

    def close(self) -> None:
        """No more ringing. The numbers are forgotten first: others may get them again."""
        fds = (self.fd, self._rope)
        self.fd = self._rope = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)
