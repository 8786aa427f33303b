"""A sink that adds up how long the jobs of each task run. Bounded, however many names there are."""

from __future__ import annotations

import threading

from steadypool.model.events import Event, JobEnded
from steadypool.model.snapshots import TaskTimes
from steadypool.model.states import Outcome

MAX_TASKS = 200
"""Further names are added up under `OTHERS`."""
OTHERS = "(others)"


class TaskTimer:
    """Subscribe it to a pool; any thread may call it and read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[float]] = {}

    def __call__(self, event: Event) -> None:
        if not isinstance(event, JobEnded) or not event.attempt:
            return
        with self._lock:
            row = self._rows.get(event.task) or self._new_row(event.task)
            row[0] += 1
            row[1] += event.outcome is not Outcome.SUCCEEDED
            row[2] += event.ran
            row[3] = max(row[3], event.ran)

    def _new_row(self, task: str) -> list[float]:
        name = task if len(self._rows) < MAX_TASKS else OTHERS
        return self._rows.setdefault(name, [0, 0, 0.0, 0.0])

    def slowest(self) -> tuple[TaskTimes, ...]:
        """What was seen so far, the slowest on average first."""
        with self._lock:
            rows = [TaskTimes(name, int(row[0]), int(row[1]), row[2], row[3]) for name, row in self._rows.items()]
        return tuple(sorted(rows, key=lambda row: -row.mean))
