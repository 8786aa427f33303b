"""What the parts of one worker share."""

from __future__ import annotations

from dataclasses import dataclass

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.worker.emitter import Emitter
from steadypool.durable.worker.engine_backoff import EngineBackoff
from steadypool.durable.worker.in_flight import InFlight
from steadypool.durable.worker.minutes import Minutes
from steadypool.durable.worker.report import WorkCounts
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.durable.worker.stop_request import StopRequest

LONGEST_CALL = 2.0
"""Seconds that the loop's engine waits at most; less with a short lease, in which it has to be tried more than once."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """One worker's settings, its engine, and what its parts write to."""

    settings: WorkerSettings
    url: str
    engine: Engine
    """The loop's own: no other thread calls it."""
    emitter: Emitter
    counts: WorkCounts
    backoff: EngineBackoff
    minutes: Minutes
    in_flight: InFlight
    stop: StopRequest

    @staticmethod
    def of(url: str, settings: WorkerSettings, engine: Engine | None = None) -> WorkerContext:
        """For a worker of the store at *url*, by an engine of its own or the one given. Nothing is connected yet."""
        if engine is None:
            engine = open_engine(url)
            engine.timeout = min(LONGEST_CALL, settings.lease / 3)
        notes: list[str] = []
        emitter = Emitter(settings.name, notes)
        minutes = Minutes(engine)
        counts, backoff = WorkCounts(emitter, notes, minutes), EngineBackoff(emitter)
        return WorkerContext(settings, url, engine, emitter, counts, backoff, minutes, InFlight(), StopRequest())
