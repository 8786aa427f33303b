"""The error ledger: failures grouped by what failed and where. Bounded, whatever fails.

A group keeps the first traceback, since the first failure is often the cause of those that follow, and the latest few
jobs with their arguments, since those can still be looked into. All else is numbers.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.error_text import described, type_name, where_raised
from steadypool.model.lazy_module import reports
from steadypool.rules.rates import after_event, faded

if TYPE_CHECKING:
    from steadypool.model.reports import ErrorGroup

MAX_GROUPS = 200
"""The group that was seen longest ago makes room for a new one."""
MAX_JOB_IDS = 10

Key = tuple[str, str, str]
Describe = Callable[[BaseException], tuple[str, str]]
"""Gives the traceback and the message of an error as texts."""


@dataclass
class _Group:
    text: str
    message: str
    first_seen: float
    last_seen: float = 0.0
    count: int = 0
    attempts: int = 0
    rate: float = 0.0
    rated_at: float = 0.0
    """When `rate` was so, by the ledger's monotonic clock: the rate must not jump when the system's date is set."""
    jobs: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MAX_JOB_IDS))

    def add(self, job_id: str, arguments: str, attempts: int, now: float) -> None:
        self.count += 1
        self.attempts += attempts
        self.last_seen = time.time()
        self.rate, self.rated_at = after_event(self.rate, now - self.rated_at), now
        self.jobs.append((job_id, arguments))

    def row(self, key: Key, now: float) -> ErrorGroup:
        return reports.ErrorGroup(
            *key,
            self.count,
            self.first_seen,
            self.last_seen,
            self.text,
            tuple(job_id for job_id, _ in self.jobs),
            self.message,
            tuple(arguments for _, arguments in self.jobs),
            self.attempts,
            faded(self.rate, now - self.rated_at),
        )


class Ledger:
    """Counts failures. Any thread may call any method."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, _Group] = OrderedDict()
        # Reentrant: a finalizer that the garbage collector runs in the middle may fail a job of its own.
        self._lock = threading.RLock()

    def renew_lock(self) -> None:
        """In a forked child the lock may be held by a thread that does not exist there."""
        self._lock = threading.RLock()

    def add(
        self,
        job_id: str,
        task: str,
        error: BaseException,
        arguments: str = "",
        attempts: int = 1,
        describe: Describe | None = None,
    ) -> Key:
        """Count one failed job; returns what its group is found by. *describe* is asked for a new group's texts."""
        key = (task, type_name(error), where_raised(error))
        texts = None if key in self._groups else (describe or described)(error)  # the user's code: not under the lock
        with self._lock:
            group = self._groups.get(key)
            if group is None:
                trace, message = texts or ("", "")
                group = self._groups[key] = _Group(trace, message, time.time())
                if len(self._groups) > MAX_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            group.add(job_id, arguments, attempts, monotonic())
        return key

    def group(self, key: Key) -> ErrorGroup | None:
        """One group as it is now; ``None`` if it has made room for others."""
        with self._lock:
            found = self._groups.get(key)
            return None if found is None else found.row(key, monotonic())

    def groups(self) -> tuple[ErrorGroup, ...]:
        """The groups, the most frequent first."""
        with self._lock:
            now = monotonic()
            rows = [group.row(key, now) for key, group in self._groups.items()]
        return tuple(sorted(rows, key=lambda row: -row.count))
