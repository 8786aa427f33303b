"""What a worker's jobs have saved, written to the store about once a second: what has changed since, in one call."""

from __future__ import annotations

from math import inf

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.worker.in_flight import HeldClaim, InFlight
from steadypool.model.clock import monotonic

EVERY = 1.0
"""Seconds between two writes."""


class Notes:
    """On the worker's loop."""

    def __init__(self, engine: Engine, in_flight: InFlight) -> None:
        self._engine = engine
        self._in_flight = in_flight
        self._due = 0.0
        self._written: dict[int, Note] = {}

    def until_due(self) -> float:
        """Seconds until the next write may be due; ``inf`` while no task saves."""
        return inf if not self._in_flight.saves else max(0.0, self._due - monotonic())

    def write_due(self) -> None:
        """Write what is new, if it is time. What the fence refuses is of jobs that another worker may run.

        Raises:
            EngineError: the engine could not; it is due again in a second.
        """
        now = monotonic()
        if now < self._due or not self._in_flight.saves:
            return
        self._due = now + EVERY
        found = {number: note for number, held in self._in_flight.held.items() if (note := note_of(held)) is not None}
        news = [note for number, note in found.items() if self._written.get(number) != note]
        if news:
            self._engine.notes.save(news)
        self._written = found


def note_of(held: HeldClaim) -> Note | None:
    """What the job has saved last in this run; ``None``: nothing, or it is of a task that saves nothing."""
    if held.beginning is None or held.future is None:
        return None
    # On asyncio, what is held is the future of another thread, which knows the job.
    job = getattr(held.future, "job", None) or held.future
    context = getattr(job, "_job_context", None)
    left = None if context is None else context._note
    return None if left is None else held.beginning.note_of(left)
