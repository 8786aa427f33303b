"""What every engine keeps and counts for people who look: a part of the seam of `durable.engine.protocol`.

Workers write down, about once a second, what has ended since the last time: a row for each queue, task and minute. The
other calls read. However much a store holds, each of them passes over a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from steadypool.durable.engine.pages import JobPage
from steadypool.durable.engine.records import AttemptError, JobFilter

KEEP_MINUTES = 48 * 3600.0
"""Seconds for which the rows of minutes are kept."""


class Ended(NamedTuple):
    """What has ended, of one queue and task."""

    queue: str
    task: str
    completed: int = 0
    failed: int = 0
    """Attempts that failed, the last ones of discarded jobs included."""
    discarded: int = 0
    ran: float = 0.0
    """Seconds that the completed ones ran, all together."""


class MinuteRow(NamedTuple):
    """What has ended in one minute, of one queue."""

    queue: str
    minute: float
    """When it began, in seconds since the epoch."""
    completed: int
    failed: int
    discarded: int


class Failure(NamedTuple):
    """A failed attempt, and whose it is."""

    id: str
    task: str
    queue: str
    error: AttemptError
    """With the end of its traceback alone."""


class FigureStore(Protocol):
    """Figures of one store. Each call is one transaction; errors, time and threads are as `Engine` has them."""

    def add(self, ended: Sequence[Ended]) -> None:
        """Add this to the present minute."""

    def by_minute(self, seconds: float) -> list[MinuteRow]:
        """What has ended within so many seconds, by queue and minute."""

    def by_task(self, seconds: float) -> list[Ended]:
        """The same by queue and task."""

    def queues(self) -> list[str]:
        """The names of queues that are paused, hold jobs, have discarded some or have ended some of late; in order."""

    def failures(self, limit: int) -> list[Failure]:
        """The latest failed attempts whose records are kept, the latest first."""

    def page(self, which: JobFilter, most: int, *, arguments: bool = False) -> JobPage:
        """The latest jobs, in pages; about *most* rows at most are passed over.

        Without results; and without arguments, or with the beginnings of them.
        """

    def count(self, which: JobFilter, most: int) -> tuple[int, bool]:
        """How many jobs *which* asks for, and whether that is all: about *most* rows at most are passed over."""
