"""What a worker's jobs say while they run, written to the store now and then: what has changed since, in one call.

What they save is written about once a second, how far they are every other second.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Progress
from steadypool.durable.worker.in_flight import HeldClaim, InFlight
from steadypool.model.clock import monotonic

SAVE_EVERY, PROGRESS_EVERY = 1.0, 2.0
"""Seconds between two writes."""
T = TypeVar("T")


class JobReports:
    """On the worker's loop."""

    def __init__(self, engine: Engine, in_flight: InFlight) -> None:
        self._engine = engine
        self._in_flight = in_flight
        self._save_due = self._progress_due = 0.0
        self._saved: dict[int, Note] = {}
        self._progress: dict[int, Progress] = {}

    def until_save(self) -> float:
        """Seconds until the next write of what is saved may be due; ``inf`` while no task saves."""
        return max(0.0, self._save_due - monotonic()) if self._in_flight.saves else inf

    def write_due(self, worker: int) -> None:
        """Write what is new, if it is time. What the fence refuses is of jobs that another worker may run.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        now = monotonic()
        if self._in_flight.saves and now >= self._save_due:
            self._save_due = now + SAVE_EVERY
            notes = self._said(note_of)
            if news := [note for number, note in notes.items() if self._saved.get(number) != note]:
                self._engine.notes.save(news)
            self._saved = notes
        if now >= self._progress_due:
            self._progress_due = now + PROGRESS_EVERY
            progress = self._said(_progress_of)
            if any(self._progress.get(number) != how_far for number, how_far in progress.items()):
                self._engine.report(worker, progress)
                self._progress = progress

    def _said(self, ask: Callable[[HeldClaim], T | None]) -> dict[int, T]:
        return {number: said for number, held in self._in_flight.held.items() if (said := ask(held)) is not None}


def note_of(held: HeldClaim) -> Note | None:
    """What the job has saved last in this run; ``None``: nothing, or it is of a task that saves nothing."""
    if held.beginning is None or held.future is None:
        return None
    context = getattr(_job_of(held), "_job_context", None)
    left = None if context is None else context._note
    return None if left is None else held.beginning.note_of(left)


def _progress_of(held: HeldClaim) -> Progress | None:
    if held.future is None or held.bundle is not None:
        return None
    progress: Progress | None = getattr(_job_of(held), "_progress", None)
    return progress


def _job_of(held: HeldClaim) -> Any:
    """On asyncio, what is held is the future of another thread, which knows the job."""
    return getattr(held.future, "job", None) or held.future
