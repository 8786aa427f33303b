"""What every engine keeps of schedules, and by which calls: a part of the seam of `durable.engine.protocol`.

A row says when its next job is to be put (``due``). Which moments a schedule has, the worker computes: the rules of
zones are not in the database. It reads the rows that are due, and tells the engine what becomes of each (`Firing`).
The engine changes the row and puts the jobs in one transaction, and only if the row still is as it was read. So of any
number of workers one puts the job of a tick; who is killed in between has done nothing.

The engine's clock alone counts (`Engine.now`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from steadypool.durable.engine.records import NewJob


class NewSchedule(NamedTuple):
    """A schedule to be kept."""

    name: str
    in_code: bool
    """A program declares it, and workers of that program put its jobs; else any worker does."""
    definition: str
    """When, as JSON."""
    job: str
    """What, as JSON."""
    hash: str
    """Of these two."""
    due: float
    """When its next job is to be put."""
    app: str | None = None
    release: str | None = None


class ScheduleRow(NamedTuple):
    """A schedule as it is kept."""

    name: str
    in_code: bool
    app: str | None
    release: str | None
    definition: str
    job: str
    hash: str
    due: float
    last_due: float | None
    """The latest tick that was looked at."""
    last_job: str | None
    """The id of its latest job."""
    last_skip: str | None
    """Why the latest tick that was skipped has no job."""
    last_skip_at: float | None
    fired: int
    """How many jobs it has put."""
    skipped: int
    """How many ticks were skipped."""
    paused: bool
    retired_at: float | None
    """Since when no program declares it any more."""


class DueSchedules(NamedTuple):
    """What is due."""

    now: float
    """By the engine's clock."""
    rows: tuple[ScheduleRow, ...]
    next_in: float | None
    """Seconds until the next one is due; ``None`` if there is none."""


class Firing(NamedTuple):
    """What becomes of the ticks of one schedule that are due."""

    name: str
    due: float
    """What was read: if it is another by now, nothing happens."""
    hash: str
    """Likewise."""
    new_due: float
    last_due: float | None
    """The latest tick that was looked at; ``None``: none was."""
    jobs: tuple[NewJob, ...] = ()
    overlap: str = "allow"
    """``"skip"``: put no job while the one before has not ended; ``"replace"``: cancel that one. Then there is one job
    at most."""
    skipped: int = 0
    reason: str = ""
    """Why so many ticks were skipped."""
    by_hand: bool = False
    """Also while it is paused, or retired."""


class Fired(NamedTuple):
    """What came of one `Firing` that has happened."""

    name: str
    jobs: tuple[str, ...]
    """Ids of what was put."""
    skips: tuple[str, ...]
    """Why the others were not."""


class ScheduleStore(Protocol):
    """The schedules of one store. Each call is one transaction, and raises what those of `Engine` do."""

    def get(self, names: Sequence[str]) -> list[ScheduleRow]:
        """Those of these names that are there."""

    def page(self, after: str, limit: int, *, in_code: bool = False) -> list[ScheduleRow]:
        """The next ones by their names, of those in code alone if so wanted."""

    def put(self, new: NewSchedule, due: float | None = None) -> str:
        """Keep a schedule.

        Args:
            new: the schedule.
            due: what was read; if it is another by now, nothing happens. ``None``: whatever it is.

        Returns:
            What happened: ``"made"``; ``"same"``, there was one with that hash, whose ``due`` stays; ``"changed"``,
            also for one that was retired; ``"moved"``, nothing, for its ``due`` is another; ``"code"``, nothing, for a
            program declares one of that name.
        """

    def due(self, declared: Sequence[str], limit: int, skip: int = 0) -> DueSchedules:
        """Those that are due, the earliest first: those of *declared* among what is in code, and all others.

        Must not write. *skip* so many of the first, which other workers are looking at.
        """

    def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """Do what was decided, for each as far as its row is as it was read; those that are not are left out.

        Raises:
            KeyBusy: another transaction is putting a job with a unique key of one of these; nothing has happened.
        """

    def pause(self, name: str, due: float | None) -> bool:
        """Pause it (``None``), or resume it with that ``due``; whether it changed."""

    def remove(self, name: str) -> bool:
        """Forget it; whether it was there. Its jobs stay."""

    def seen(self, app: str, names: Sequence[str], seconds: float) -> list[str]:
        """A live worker of *app* declares these. Retire what no worker of it has declared for *seconds*; which those
        are. Writes once in a third of that time."""
