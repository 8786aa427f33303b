"""What a pool counts: what it has accepted, and what became of it."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable

from steadypool.model.states import Outcome


class Counts:
    """The numbers of one pool. A reader takes the outcomes first and what was accepted last."""

    def __init__(self, succeeded_in_workers: Callable[[], int]) -> None:
        self.tickets = itertools.count()
        """Each job takes one."""
        self.ended: Counter[Outcome] = Counter()
        """Without the successes that workers have counted themselves."""
        self.retrying = 0
        self.rejected = 0
        self.retries = 0
        self._succeeded_in_workers = succeeded_in_workers
        self._not_jobs = 0
        """Tickets that were taken to read the counter, or given back."""
        self._lock = threading.RLock()

    def accepted(self) -> int:
        """How many jobs were accepted. Taking a ticket is the only way to read the counter; it is given back."""
        with self._lock:
            self._not_jobs += 1
            return next(self.tickets) + 1 - self._not_jobs

    def withdraw(self, count: int = 1) -> None:
        """So many tickets were taken for jobs that did not come to be."""
        with self._lock:
            self._not_jobs += count

    def outcomes(self) -> dict[Outcome, int]:
        """How many jobs ended how. The pool's lock is held."""
        counts = {outcome: self.ended[outcome] for outcome in Outcome}
        counts[Outcome.SUCCEEDED] += self._succeeded_in_workers()
        return counts

    def after_fork(self) -> None:
        """In a forked child: the lock may be held for ever, and what waits for its next attempt is the parent's."""
        self._lock = threading.RLock()
        self.retrying = 0
