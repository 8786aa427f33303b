"""The limits of a program, as its workers declare them: before their first claim, and now and then for as long as they
live.

A worker that starts writes down what differs from what is kept, unless a later release has declared it. What no worker
of the program has declared for `FORGOTTEN_AFTER` seconds holds nothing back any more. What was set by hand stays over
both.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from steadypool.durable.client.queue import Queue
from steadypool.durable.client.turns import kept_as
from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.schedules import RETIRED_AFTER, SEEN_EVERY, is_older
from steadypool.model.clock import monotonic

FORGOTTEN_AFTER = RETIRED_AFTER


class Limits:
    """Of one worker, on its loop."""

    def __init__(self, context: WorkerContext, queue: Queue) -> None:
        self._store = context.engine.limits
        self._notes = context.counts.notes
        self._queue = queue
        self._is_declared = False
        self._due = 0.0

    def declare_due(self) -> None:
        """Declare them, if it is time.

        Raises:
            EngineError: the engine could not; it is due again.
        """
        if monotonic() < self._due:
            return
        declared = kept_as(self._queue.declared_limits.items())
        changed = () if self._is_declared else self._changed(declared)
        names = [limit.name for limit in declared]
        self._store.declare(self._queue.app, self._queue.release, names, changed, FORGOTTEN_AFTER)
        self._is_declared = True
        self._due = monotonic() + SEEN_EVERY * (0.5 + random.random())

    def _changed(self, declared: Sequence[NewLimit]) -> list[NewLimit]:
        known = {row.name: row for row in self._store.rows() if not row.by_hand}
        changed: list[NewLimit] = []
        for limit in declared:
            row = known.get(limit.name)
            if row is not None and is_older(self._queue.release, row.release):
                self._notes.append(f"limit {limit.name!r} stays as release {row.release} has it")
            elif row is None or (row.allowed, row.over) != (limit.allowed, limit.over):
                changed.append(limit)
        return changed
