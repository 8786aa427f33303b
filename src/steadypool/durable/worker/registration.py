"""A worker's place among the workers: its number, the lease that goes with it, and what happens when that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.heartbeat import Heartbeat


class Registration:
    """One after the other, should a lease be lost.

    A helper process renews the lease where jobs could hold up a thread (`durable.worker.heartbeat`).

    Args:
        tasks: the names of those that the worker knows.
        apart: whether jobs run in this process, where one may stop every thread.
        wake: called on the heartbeat's thread when the lease is lost.
    """

    def __init__(self, context: WorkerContext, tasks: Iterable[str], apart: bool, wake: Callable[[], None]) -> None:
        self._engine = context.engine
        self._emitter = context.emitter
        self._backoff = context.backoff
        self._in_flight = context.in_flight
        self._seconds = context.settings.lease
        self._queues = context.settings.queues
        self._tasks = tasks
        self._wake = wake
        self._heartbeat = Heartbeat(context.url, self._seconds, apart, self._was_lost)
        self.number = 0
        self.is_lost = False

    def begin(self) -> None:
        """Register, and keep the lease alive from now on.

        Raises:
            EngineError, SchemaMismatch: it cannot be had.
        """
        self.number = self._register()
        try:
            self._heartbeat.start(self.number)
        except RETRYABLE:
            self._engine.leave(self.number)
            raise

    def emit_registered(self) -> None:
        """Tell the sinks that the worker may claim."""
        self._emitter.report(events.WorkerRegistered, self.number)

    def begin_again(self) -> None:
        """If the lease was lost, register anew, and tell every job at work that nothing it does counts any more."""
        if not self.is_lost:
            return
        try:
            number = self._register()
        except RETRYABLE as error:
            self._backoff.failed(error)
            return
        lost = self._in_flight.lose_all()
        self.number, self.is_lost = number, False
        self._heartbeat.follow(number)
        self._emitter.report(events.LeaseLost, len(lost))
        self.emit_registered()

    def _register(self) -> int:
        return self._engine.register(self._emitter.name, self._seconds, self._queues, tuple(self._tasks))

    @property
    def may_sweep(self) -> bool:
        """See `Heartbeat.may_sweep`."""
        return not self.is_lost and self._heartbeat.may_sweep

    def stop(self, *, jobs_are_left: bool = False) -> None:
        """Renew the lease no more."""
        self._heartbeat.stop(1.0, keeps_helper=jobs_are_left)

    def _was_lost(self, worker: int) -> None:
        if worker == self.number:
            self.is_lost = True
            self._wake()
