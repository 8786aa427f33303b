"""The end of a worker: claim no more, let the pool drain, write down what is left, and take leave.

In this order: (1) the pool hands back what has not started, and drains by its own ladder; (2) meanwhile what ends is
written down, so that little is left for later; (3) what was interrupted is given back, but for jobs that still run
here, stuck: their lease runs out when this process has gone; (4) everything is written down, for as long as there is
time; (5) the heartbeat stops; (6) the worker takes leave.
"""

from __future__ import annotations

import threading

from steadypool.durable.worker.claims import Claimer
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.kind_pools import KindPools
from steadypool.durable.worker.registration import Registration
from steadypool.durable.worker.settlement import Settler
from steadypool.durable.worker.wait import WorkerWait
from steadypool.rules.claim_size import GATHER

FLUSH_SHARE = 0.25
LONGEST_FLUSH = 2.0
"""Of a drain's time, so much is kept for writing down what is left."""


class Shutdown:
    """One end. On the worker's loop, but for a thread that waits for the pool."""

    def __init__(
        self,
        context: WorkerContext,
        pools: KindPools,
        wait: WorkerWait,
        registration: Registration,
        claimer: Claimer,
        settler: Settler,
    ) -> None:
        self._engine = context.engine
        self._in_flight = context.in_flight
        self._stop = context.stop
        self._counts = context.counts
        self._minutes = context.minutes
        self._backoff = context.backoff
        self._cancel_grace = context.settings.cancel_grace
        self._pools = pools
        self._wait = wait
        self._registration = registration
        self._claimer = claimer
        self._settler = settler
        self._flush_seconds = 0.0

    def run(self) -> None:
        """Go through all of it."""
        self._pools.shutdown()
        self._drain_pool()
        self._settler.settle_remaining()
        self._flush()
        self._registration.stop(jobs_are_left=bool(self._in_flight.ended))
        self._claimer.deregister()
        self._write_minutes()
        if self._wait.listener is not None:
            self._wait.listener.close()
        self._engine.close()

    def _drain_pool(self) -> None:
        waiter = threading.Thread(target=self._wait_for_pool, name="steadypool-durable-drain", daemon=True)
        self._hurry_pool()
        waiter.start()
        heeded = len(self._stop.requests)
        while waiter.is_alive() and not self._must_flush():
            if len(self._stop.requests) != heeded:
                heeded = len(self._stop.requests)
                self._hurry_pool()
            self._wait.sleep(GATHER * 10)
            self._registration.begin_again()
            self._settler.settle_finished()
            if self._in_flight.pending:
                self._claimer.settle_and_claim()
            self._report()

    def _must_flush(self) -> bool:
        """Whether there is just the time left to write down what there is; the pool has had its own and more."""
        left = self._stop.remaining
        return left is not None and left <= (
            self._flush_seconds / 2 if self._in_flight.pending else self._flush_seconds / 10
        )

    def _hurry_pool(self) -> None:
        left = self._stop.remaining
        if left is None:
            self._pools.request_drain(None)
            return
        self._flush_seconds = min(LONGEST_FLUSH, left * FLUSH_SHARE)
        self._pools.request_drain(max(0.0, left - self._cancel_grace - self._flush_seconds))

    def _wait_for_pool(self) -> None:
        self._counts.pool = self._pools.drain()
        self._wait.wake()

    def _report(self) -> None:
        try:
            self._claimer.report()
        except RETRYABLE as error:
            self._backoff.failed(error)

    def _write_minutes(self) -> None:
        try:
            self._minutes.write()
        except RETRYABLE:
            pass  # figures for people: the end does not wait for them

    def _flush(self) -> None:
        while self._in_flight.pending:
            left = self._stop.remaining
            if left == 0.0:
                return
            self._engine.timeout = min(self._engine.timeout, left or 1.0)
            if self._claimer.settle_and_claim() is None:
                self._wait.sleep(self._backoff.pause)
