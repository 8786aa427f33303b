"""How a worker's loop rests: until there is news, until jobs have ended, or until enough of them have.

It sleeps in one of two places. With room for more jobs it listens for news (`Listener.wait`), a second at most; an end
is news, too. With no room it waits for ends on a bell, and then gathers some more of them for a few milliseconds, so
that one commit writes many: `WorkerWait.ring_at` says how many must have ended before the bell is rung at all.
"""

from __future__ import annotations

from collections.abc import Callable

from steadypool.durable.engine.protocol import Listener
from steadypool.durable.worker.in_flight import InFlight
from steadypool.model.clock import monotonic
from steadypool.primitives.wakeup import Bell
from steadypool.rules import claim_size


class WorkerWait:
    """Where the loop sleeps, and how others wake it.

    Args:
        in_flight: where ends appear.
        is_over: whether there is something else to do: a request to stop, a lost lease. The thread that changes it
            calls `wake` next.
    """

    def __init__(self, in_flight: InFlight, is_over: Callable[[], bool]) -> None:
        self._in_flight = in_flight
        self._is_over = is_over
        self._bell = Bell()
        self._ring_at = 1
        self.listener: Listener | None = None

    # -- from any thread

    def wake(self) -> None:
        """There is something to look at."""
        self._bell.ring()
        listener = self.listener
        if listener is not None:
            listener.wake()

    def jobs_have_ended(self) -> None:
        """They are in flight."""
        if len(self._in_flight.ended) >= self._ring_at:
            self.wake()

    # -- for the loop

    def listen(self, seconds: float) -> None:
        """Sleep until there is news, until jobs have ended, or for *seconds*."""
        self._ring_at = 1
        if not self._in_flight.ended and not self._is_over():
            assert self.listener is not None
            self.listener.wait(seconds)

    def sleep(self, seconds: float) -> None:
        """Sleep until the bell rings, or for *seconds*."""
        self._bell.wait(monotonic() + seconds)

    def wait_for_end(self, seconds: float) -> None:
        """Sleep until a job has ended, or for *seconds*."""
        self._ring_at = 1
        until = monotonic() + seconds
        while not self._in_flight.ended and not self._is_over() and monotonic() < until:
            self._bell.wait(until)

    def gather(self, slots: int) -> None:
        """Let a few more jobs end."""
        in_flight = self._in_flight
        self._ring_at = max(1, min(claim_size.MOST_GATHERED, len(in_flight.held) - slots))
        # The bell may have been rung for ends that are written by now: it is looked at again each time.
        while in_flight.ended and not self._is_over():
            waited, at_work = in_flight.oldest(), len(in_flight.held) - len(in_flight.ended)
            if claim_size.writes_now(len(in_flight.ended), waited, at_work, slots):
                break
            self._bell.wait(monotonic() + claim_size.GATHER - waited)
        self._ring_at = 1
