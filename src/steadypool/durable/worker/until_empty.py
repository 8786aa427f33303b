"""Whether the named queues of a worker are empty, for one that works until they are."""

from __future__ import annotations

from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.links import LinkUpkeep
from steadypool.durable.worker.unknown_tasks import UnknownTasks


class UntilEmpty:
    """Of one worker. On its loop.

    Jobs in a paused queue do not count: they may stay there for ever. Nor do jobs whose task no worker knows, and those
    that wait for jobs elsewhere.
    """

    def __init__(self, context: WorkerContext, unknown: UnknownTasks, links: LinkUpkeep) -> None:
        self._context = context
        self._unknown = unknown
        self._links = links
        self._waiting = 0
        self._waits_for: tuple[bool, bool] | None = None
        self._found_paused: set[str] = set()

    def is_empty(self) -> bool:
        """Whether no job is available, running, or about to be retried. What else there is goes to the sinks, once."""
        in_flight = self._context.in_flight
        if in_flight.held or in_flight.pending or in_flight.ended:
            return False
        try:
            if self._unknown.recall():
                return False
            queues = {row.name: row for row in self._context.engine.stats().queues}
            waiting = sum(row.waiting for row in queues.values())
            if self._links.run() or waiting != self._waiting:  # what they wait for may have ended unseen
                self._waiting = waiting
                return False
        except RETRYABLE as error:
            self._context.backoff.failed(error)
            return False
        rows = [queues[name] for name in self._context.settings.queues if name in queues]
        open_rows = [row for row in rows if not row.paused]
        running, retryable = sum(row.running for row in rows), sum(row.retryable for row in open_rows)
        if any(row.available for row in open_rows):
            return False
        if running or retryable:
            self._emit_waiting(running, retryable)
            return False
        for row in rows:
            if row.paused and row.available + row.retryable:
                self._emit_paused(row.name, row.available + row.retryable)
        return True

    def _emit_waiting(self, running: int, retryable: int) -> None:
        kind = bool(running), bool(retryable)
        if kind != self._waits_for:
            self._waits_for = kind
            self._context.emitter.report(events.WaitsForOthers, running, retryable)

    def _emit_paused(self, queue: str, jobs: int) -> None:
        if queue not in self._found_paused:
            self._found_paused.add(queue)
            self._context.counts.notes.append(f"queue {queue!r} is paused: what waits in it ({jobs}) stays there")
            self._context.emitter.report(events.QueuePaused, queue, jobs)
