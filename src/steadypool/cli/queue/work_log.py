"""What ``steadypool work`` logs of its worker's events."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import inf

from steadypool.durable.engine.records import DEFAULT_QUEUE
from steadypool.durable.worker import events
from steadypool.durable.worker.log import OURS
from steadypool.model.events import Event, JobCrashed, JobFailed, JobSubmitted, JobTimedOut
from steadypool.model.printable import printable
from steadypool.model.quantities import counted
from steadypool.rules.near_names import listed
from steadypool.sinks.logging import LoggingSink


class WorkLog:
    """A sink that logs what an operator wants to know; what comes again and again, once."""

    REFUSED_SECONDS = 10.0
    """Between two lines on results that were refused: they may come by the thousand."""

    UNKNOWN_SECONDS = 60.0
    """Between two lines on jobs of one task that cannot be run here."""

    def __init__(self, queues: Iterable[str] = (), tasks: Iterable[str] = ()) -> None:
        self._log = LoggingSink(OURS)
        self._queues, self._tasks = tuple(queues) or (DEFAULT_QUEUE,), sorted(tasks)
        self._unknown: dict[object, float] = {}
        self._in_trouble = False
        self._refused_at = -inf

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if self._is_news(event):
            self._log(event)
        if isinstance(event, events.WorkerRegistered):
            self._say_what_is_served()

    def _say_what_is_served(self) -> None:
        """A module of tasks that was not imported, or a queue that was left out, is seen before it is missed."""
        logging.getLogger(OURS).info(
            "it serves %s of %s: %s",
            counted(len(self._tasks), "task"),
            f"{'queue' if len(self._queues) == 1 else 'queues'} {printable(', '.join(self._queues))}",
            printable(listed(self._tasks)),
            extra={"queues": self._queues, "tasks": self._tasks},
        )

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
