"""A worker's place among the workers: its number, the lease that goes with it, and what happens when that is lost."""

from __future__ import annotations

from collections.abc import Callable

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.worker.emitter import Emitter, events
from steadypool.durable.worker.engine_backoff import RETRYABLE, EngineBackoff
from steadypool.durable.worker.heartbeat import Heartbeat
from steadypool.durable.worker.in_flight import InFlight
from steadypool.model.clock import monotonic


class Registration:
    """One after the other, should a lease be lost.

    Args:
        engine: where the worker is registered.
        url: its address, for the heartbeat, which has an engine of its own.
        seconds: how long a lease holds.
        apart: whether a helper process renews it (`durable.worker.heartbeat`).
        wake: called on the heartbeat's thread when the lease is lost.
    """

    def __init__(
        self,
        engine: Engine,
        url: str,
        seconds: float,
        apart: bool,
        emitter: Emitter,
        backoff: EngineBackoff,
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._seconds = seconds
        self._emitter = emitter
        self._backoff = backoff
        self._wake = wake
        self._heartbeat = Heartbeat(url, seconds, apart, self._was_lost)
        self.number = 0
        self.is_lost = False

    def begin(self) -> None:
        """Register, and keep the lease alive from now on.

        Raises:
            EngineError, SchemaMismatch: it cannot be had.
        """
        self.number = self._engine.register(self._emitter.name, self._seconds)
        try:
            self._heartbeat.start(self.number)
        except RETRYABLE:
            self._engine.leave(self.number)
            raise

    def emit_registered(self) -> None:
        """Tell the sinks that the worker may claim."""
        name, number = self._emitter.name, self.number
        self._emitter.emit(lambda: events.WorkerRegistered(name, monotonic(), number))

    def begin_again(self, in_flight: InFlight) -> None:
        """If the lease was lost, register anew, and tell every job at work that nothing it does counts any more."""
        if not self.is_lost:
            return
        try:
            number = self._engine.register(self._emitter.name, self._seconds)
        except RETRYABLE as error:
            self._backoff.failed(error)
            return
        lost = in_flight.lose_all()
        self.number, self.is_lost = number, False
        self._heartbeat.follow(number)
        name = self._emitter.name
        self._emitter.emit(lambda: events.LeaseLost(name, monotonic(), len(lost)))
        self.emit_registered()

    @property
    def may_sweep(self) -> bool:
        """See `Heartbeat.may_sweep`."""
        return not self.is_lost and self._heartbeat.may_sweep

    def stop(self) -> None:
        """Renew the lease no more."""
        self._heartbeat.stop(1.0)

    def _was_lost(self, worker: int) -> None:
        if worker == self.number:
            self.is_lost = True
            self._wake()
