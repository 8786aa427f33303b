"""How far a worker's jobs are, written to the store now and then: one row for all, and only what has changed."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Progress
from steadypool.durable.worker.in_flight import HeldClaim, InFlight
from steadypool.model.clock import monotonic

EVERY = 2.0
"""Seconds between two reports."""


class ProgressReports:
    """On the worker's loop."""

    def __init__(self, engine: Engine, in_flight: InFlight) -> None:
        self._engine = engine
        self._in_flight = in_flight
        self._due = 0.0
        self._reported: dict[int, Progress] = {}

    def report(self, worker: int) -> None:
        """Tell how far the jobs are, if it is time and there is news.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        if monotonic() < self._due:
            return
        self._due = monotonic() + EVERY
        found = {
            number: progress
            for number, held in self._in_flight.held.items()
            if (progress := _progress_of(held)) is not None
        }
        if any(self._reported.get(number) != progress for number, progress in found.items()):
            self._engine.report(worker, found)
            self._reported = found


def _progress_of(held: HeldClaim) -> Progress | None:
    if held.future is None or held.bundle is not None:
        return None
    # On asyncio, what is held is the future of another thread, which knows the job.
    job = getattr(held.future, "job", None) or held.future
    progress: Progress | None = getattr(job, "_progress", None)
    return progress
