"""Jobs of tasks that this worker does not know: it sets them aside, finds those again that it knows, and gives up what
no worker has known for long.

To put such jobs back for a while, one by one, does not do: two hundred thousand of a task that was deleted come again
before those behind them have had their turn. So the worker gives back what it has claimed of them, and has the engine
move all that lie at the head of its queues out of the way, thousands at a time. They stay there until a worker looks
for them that knows their task.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.pool_adapter import TaskAdapter
from steadypool.durable.worker.verdicts import span
from steadypool.model.clock import monotonic
from steadypool.rules.near_names import listed, near_name

LOOKED_AT_ONCE = 2000
"""Jobs at the head of each queue, in one transaction: some 20 ms."""
LONGEST = 0.25
"""Seconds after which the worker looks for others than those that it sets aside."""
RECALLED_AT_ONCE = 100
"""Few: a worker that does not know the task may be quicker to claim them, and sets them aside again."""
FLOOD = 100
"""Jobs of a task, one after the other, that are of another version of it: then there are more."""
GIVEN_UP_AT_ONCE = 500
RECALL_EVERY, GIVE_UP_EVERY = 1.0, 10.0
"""Seconds, give or take a half, so that a hundred workers do not all look at the same moment."""


class UnknownTasks:
    """For one worker. On its loop.

    Args:
        adapters: of each task that is known here.
    """

    def __init__(
        self,
        context: WorkerContext,
        adapters: Mapping[str, TaskAdapter],
    ) -> None:
        self._engine = context.engine
        self._emitter = context.emitter
        self._queues = context.settings.queues
        self._adapters = adapters
        self._known = list(adapters)
        self._recall_due = self._give_up_due = 0.0
        self._give_up = context.settings.given_up_after

    def is_flooded(self) -> bool:
        """Whether many jobs of one task, one after the other, were of another version of it."""
        return any(adapter.unfit >= FLOOD for adapter in self._adapters.values())

    def set_aside(self) -> None:
        """Move what lies at the head of the queues and cannot be run here out of the way, for a moment's time.

        So are the jobs of a task of which many were of another version: they are recalled by and by, and others have
        their turn meanwhile.

        Raises:
            EngineError: the engine could not; the next claim finds them again.
        """
        until, counts = monotonic() + LONGEST, Counter[str]()
        known = [name for name in self._known if self._adapters[name].unfit < FLOOD]
        while True:
            moved = self._engine.set_aside(self._queues, known, LOOKED_AT_ONCE, self._give_up)
            counts.update(moved)
            if sum(moved.values()) < LOOKED_AT_ONCE or monotonic() >= until:
                break
        for adapter in self._adapters.values():
            adapter.unfit = 0 if adapter.unfit >= FLOOD else adapter.unfit
        # What is known here, each job has emitted itself.
        self.emit_set_aside({task: jobs for task, jobs in counts.items() if task not in self._known})

    def emit_set_aside(self, aside: Mapping[str, int]) -> None:
        """Emit that so many jobs of these tasks were set aside."""
        for task, jobs in aside.items():
            self._emitter.report(events.TaskUnknown, task, jobs, self._hint(task))

    def recall(self) -> bool:
        """Have jobs available again whose task is known here; whether there are some.

        Raises:
            EngineError: the engine could not.
        """
        return self._engine.recall(self._queues, self._known, RECALLED_AT_ONCE) > 0

    def run_due(self, has_room: bool) -> bool:
        """Do the one and the other if it is time; whether jobs are available that were not.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        now, found = monotonic(), False
        if has_room and now >= self._recall_due:
            self._recall_due = now + RECALL_EVERY * (0.5 + random.random())
            found = self.recall()
            self._recall_due = now if found else self._recall_due  # there may be more
        if now >= self._give_up_due:
            self._give_up_due = now + GIVE_UP_EVERY * (0.5 + random.random())
            self.give_up()
        return found

    def give_up(self) -> None:
        """Discard what was set aside for too long.

        Raises:
            EngineError: the engine could not.
        """
        reason = f"no worker has known its task for {span(self._give_up)}"
        for task, jobs in self._engine.give_up_unknown(GIVEN_UP_AT_ONCE, reason).items():
            self._emitter.report(events.TaskForgotten, task, jobs, reason)

    def _hint(self, task: str) -> str:
        near = near_name(task, self._adapters)
        return f"; its queue knows {listed(self._adapters) or 'no task'}" + (
            f"; did the caller mean {near}?" if near else ""
        )
