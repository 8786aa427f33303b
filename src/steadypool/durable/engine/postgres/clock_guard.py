"""Whether the server's clock can be trusted to tell that a lease has run out. Numbers alone.

PostgreSQL has no clock that only runs forward. When its machine's clock is set forward by an hour, or another machine
takes over whose clock differs, all leases seem to have run out at once. Whoever sweeps compares that clock with its
own, which cannot be set; when the two have moved apart, it waits until every live worker has renewed its lease by the
new time.
"""

from __future__ import annotations

JUMP = 1.5
"""Seconds by which the two clocks may move apart between two looks."""


class Steadiness:
    """Of one engine object's sweeps."""

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
