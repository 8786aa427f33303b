"""Whether a sweep may judge leases: not if it had to wait for its own turn.

What kept this sweep waiting may also have kept live workers from renewing their leases. They get their turn before the
next sweep. After ten such sweeps in a row the waiting is load, and the eleventh sweeps.
"""

from __future__ import annotations

MOST_SKIPPED = 10


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
