"""What any worker does for jobs that wait for others, and for batches: `LinkStore.tend`, and `BatchStore.tend`."""

from __future__ import annotations

import random

from steadypool.durable.engine.links import TENDED_AT_ONCE
from steadypool.durable.engine.records import Verdict
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.model.clock import monotonic

LOOK_EVERY = 1.0
"""Seconds between two looks."""


class LinkUpkeep:
    """Looks each second, at once after a job was given up here, and goes on while there is more. On the loop."""

    def __init__(self, context: WorkerContext) -> None:
        self._engine = context.engine
        self._emitter = context.emitter
        self._verdicts = context.counts.verdicts
        self._given_up = 0
        self._due = 0.0
        self._has_done = False

    def run_due(self) -> bool:
        """Look if it is time; whether there is more to do at once.

        Raises:
            EngineError: the engine could not; it is due again.
        """
        given_up = self._verdicts[Verdict.DISCARD] + self._verdicts[Verdict.CANCEL]
        if monotonic() < self._due and given_up == self._given_up:
            return False
        tended = self._engine.links.tend(TENDED_AT_ONCE)
        for one in tended.unmet:
            self._emitter.report(events.DependencyFailed, one.id, one.task, one.queue, one.needed, one.state.value)
        batches = self._engine.batches.tend(TENDED_AT_ONCE)
        for row in batches.finished:
            completed = row.ended - row.failed - row.cancelled
            self._emitter.report(events.BatchFinished, row.id, row.name, completed, row.failed, row.cancelled)
        self._given_up = given_up
        is_more = tended.more or batches.more
        self._due = 0.0 if is_more else monotonic() + LOOK_EVERY * (0.5 + 0.5 * random.random())
        self._has_done = self._has_done or bool(tended.unmet or batches.finished)
        return is_more

    def run(self) -> bool:
        """Look until there is nothing to do; whether there was anything.

        Raises:
            EngineError: the engine could not.
        """
        self._due, self._has_done = 0.0, False
        while self.run_due():
            pass
        return self._has_done
