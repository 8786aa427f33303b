"""Whether a worker may take leases of others for run out: only if it could renew its own in time. Numbers alone.

A store may be locked for all, stalled, or away, for longer than a lease. When it is back all leases have run out,
and the first worker would take the jobs of workers that are alive and have only not had their turn. A worker's own
renewals go the same way as theirs. So one that had to wait for its own takes nothing back for a while, in which every
live worker renews; nor does one that has just begun, and does not know what was before.
"""

from __future__ import annotations

LATE = 1.75
"""A renewal is late that comes after so many times the seconds between two."""
LEAST_LATE = 1.0
"""Seconds: less than that is a busy machine."""
GRACE = 6.0
"""Seconds in which a live worker renews its lease once it can: two tries, and the making of a connection."""
MOST_GRACES = 10
"""If one's own renewals are late for so long, time and again, that is the normal state here, and no lock."""


class Punctuality:
    """Of one worker's renewals.

    Args:
        seconds: how long its lease holds.
        every: seconds between two renewals.
        now: when it begins.
    """

    def __init__(self, seconds: float, every: float, now: float) -> None:
        self._limit = max(LEAST_LATE, every * LATE)
        self._grace = min(GRACE, seconds)
        self._renewed = self._late_since = now
        self._wait_until = now + self._grace

    def renewed(self, now: float) -> None:
        """The lease was renewed."""
        if now - self._renewed > self._limit:
            if now > self._wait_until:
                self._late_since = now
            self._wait_until = now + self._grace
        self._renewed = now

    def may_sweep(self, now: float) -> bool:
        """Whether leases of others that seem to have run out have done so."""
        if now - self._renewed > self._limit:
            return False  # it waits for its own renewal now
        return now >= self._wait_until or now - self._late_since > self._grace * MOST_GRACES
