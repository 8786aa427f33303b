"""What ends the run's sleep: the end of a job, a signal, or a descriptor that has something to say."""

from __future__ import annotations

import os
import select


class Waker:
    """One sleeper, whom any thread and any signal handler may wake.

    A wake-up is never lost: whoever has news publishes it first and looks at `asleep` second, while the
    sleeper sets `asleep` first and looks for news second. One of the two sees the other.

    The pipe stays open for the life of the process: a worker that was left behind may still call `wake`, and
    must not write into whatever got the number next.
    """

    def __init__(self) -> None:
        self.asleep = False
        self._reads, self.descriptor = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self.descriptor, False)

    def wake(self) -> None:
        """End the sleep, or the next one."""
        try:
            os.write(self.descriptor, b"\0")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    def sleep(self, watched: dict[int, int], seconds: float | None = None) -> dict[int, int]:
        """Sleep until a wake-up, until one of the *watched* descriptors is ready, or for *seconds*.

        Args:
            watched: what to wait for on each descriptor, as `select.poll` has it.

        Returns:
            What is the matter with each descriptor that is ready.
        """
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        for descriptor, events in watched.items():
            poll.register(descriptor, events)
        ready = dict(poll.poll(None if seconds is None else seconds * 1000))
        if ready.pop(self._reads, 0):
            self._forget_wakes()
        return ready

    def _forget_wakes(self) -> None:
        try:
            while len(os.read(self._reads, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
