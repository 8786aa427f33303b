"""Whether a sweep may judge leases. Numbers alone.

Two things can make the leases of live workers seem to have run out:

* **All had to wait.** What kept this sweep waiting may also have kept workers from renewing. They get their turn
  before the next sweep. After ten such sweeps in a row the waiting is load, and the eleventh sweeps (`SweepTurn`).
* **The clock has jumped.** PostgreSQL has no clock that only runs forward. When its machine's clock is set forward by
  an hour, or another machine takes over whose clock differs, all leases seem to have run out at once. A sweep compares
  that clock with its own, which cannot be set; when the two have moved apart, it waits until every live worker has
  renewed its lease by the new time (`ClockGuard`).
"""

from __future__ import annotations

MOST_SKIPPED = 10
JUMP = 1.5
"""Seconds by which the two clocks may move apart between two looks."""


class SweepTurn:
    """Of one engine object's sweeps.

    Args:
        limit: seconds that a sweep may wait for its turn.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._skipped = 0

    def may_sweep(self, waited: float) -> bool:
        """Whether a sweep that waited so many seconds may go on."""
        if waited > self._limit and self._skipped < MOST_SKIPPED:
            self._skipped += 1
            return False
        self._skipped = 0
        return True


class ClockGuard:
    """Compares the clock of one server with ours."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._wait_until = float("-inf")

    def allows_sweep(self, server: float, ours: float, lease: float) -> bool:
        """Note that the server's clock says *server* when ours says *ours*; whether leases can be judged by it.

        Args:
            lease: seconds within which every live worker renews.
        """
        if self._last is not None:
            moved_apart = (server - self._last[0]) - (ours - self._last[1])
            if moved_apart > JUMP:
                self._wait_until = ours + lease
        self._last = (server, ours)
        return ours >= self._wait_until
