"""Threads that cannot be stopped: when every worker is stuck, the run stands still, and the user has to hear of it."""

from __future__ import annotations

from rich.console import Console

from steadypool.cli.console import say
from steadypool.cli.kinds import LinePool
from steadypool.cli.map.counts import Tally
from steadypool.model.clock import monotonic

LOOK_SECONDS = 1.0


class StuckWatch:
    """Looks now and then, from the first time limit on, whether any worker is left, and says so once if none is.

    It does not stop the run: a stuck job may end after all, and gives its worker back.
    """

    def __init__(self, pool: LinePool, console: Console) -> None:
        self._pool = pool
        self._console = console
        self._said = False
        self._look_at = 0.0

    def due_in(self, tally: Tally) -> float | None:
        """Seconds until the next `look`; ``None`` while there is no reason for one."""
        if self._said or not (tally.timed_out and tally.under_way):
            return None
        return max(0.0, self._look_at - monotonic())

    def look(self, tally: Tally) -> None:
        """Say what is the matter, if it is."""
        if self.due_in(tally) != 0:
            return
        self._look_at = monotonic() + LOOK_SECONDS
        if self._pool.stats().capacity > 0:
            return
        self._said = True
        say(
            self._console,
            "steadypool: every worker is stuck in a job that went over its time limit and does not stop; the run "
            "goes on when one of them ends. Ctrl-C ends it now; --kind process can stop such jobs",
        )
