"""What ``steadypool work`` logs of its worker's events."""

from __future__ import annotations

from math import inf

from steadypool.durable.worker import events
from steadypool.durable.worker.log import OURS
from steadypool.model.events import Event, JobCrashed, JobFailed, JobSubmitted, JobTimedOut
from steadypool.sinks.logging import LoggingSink


class WorkLog:
    """A sink that logs what an operator wants to know; what comes again and again, once."""

    REFUSED_SECONDS = 10.0
    """Between two lines on results that were refused: they may come by the thousand."""

    UNKNOWN_SECONDS = 60.0
    """Between two lines on jobs of one task that cannot be run here."""

    def __init__(self) -> None:
        self._log = LoggingSink(OURS)
        self._unknown: dict[object, float] = {}
        self._in_trouble = False
        self._refused_at = -inf

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if self._is_news(event):
            self._log(event)

    def _is_news(self, event: Event) -> bool:
        match event:
            case JobSubmitted() | JobFailed() | JobTimedOut() | JobCrashed():
                return False  # with --log-level debug; the worker's own events tell more of these
            case events.TaskUnknown() | events.ArgumentsUnknown():
                about = type(event), event.task
                if event.at < self._unknown.get(about, -inf) + self.UNKNOWN_SECONDS:
                    return False
                self._unknown[about] = event.at
                return True
            case events.ResultRefused():
                if event.at < self._refused_at + self.REFUSED_SECONDS:
                    return False
                self._refused_at = event.at
                return True
            case events.EngineFailed():
                first, self._in_trouble = not self._in_trouble, True
                return first
            case events.EngineRecovered():
                self._in_trouble = False
                return True
            case _:
                return True
