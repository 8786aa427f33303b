"""An engine that cannot do what it is asked: said once when it begins and once when it is over, and tried again ever
more slowly."""

from __future__ import annotations

from steadypool.durable.engine.errors import EngineError, SchemaMismatch
from steadypool.durable.worker.emitter import Emitter, events
from steadypool.model.clock import monotonic

RETRYABLE = (EngineError, SchemaMismatch)
"""What an engine raises that may pass: another process migrates, makes room, lets go of a lock."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries."""


class EngineBackoff:
    """Whether there is any, since when, and how long to pause."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._since: float | None = None
        self.pause = FIRST_PAUSE
        """Seconds until the next try."""

    def __bool__(self) -> bool:
        return self._since is not None

    def failed(self, error: Exception) -> None:
        """The engine has raised this."""
        if self._since is None:
            self._since = monotonic()
            self.pause = FIRST_PAUSE
        else:
            self.pause = min(LONGEST_PAUSE, self.pause * 2)
        self._emitter.report(events.EngineFailed, error, self.pause)

    def recovered(self) -> None:
        """The engine has done what it was asked."""
        if self._since is None:
            return
        seconds, self._since = monotonic() - self._since, None
        self._emitter.report(events.EngineRecovered, seconds)
