"""What any worker does for all now and then: take back what dead workers held, and delete old records."""

from __future__ import annotations

import random
from collections.abc import Callable

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import SweepResult
from steadypool.model.clock import monotonic

PRUNED_AT_ONCE = 1000
"""Records in one transaction: others wait some milliseconds for it at most."""
PRUNE_EVERY = 5.0
"""Seconds between two prunings that found little."""


class Maintenance:
    """Does it when it is due. Both find nothing to do without writing, so any number of workers may do it.

    Pruning keeps up with what ends: as long as it finds full batches, it goes on half of the time.

    Args:
        may_sweep: whether leases that seem to have run out have done so.
    """

    def __init__(self, engine: Engine, max_losses: int, every: float, may_sweep: Callable[[], bool]) -> None:
        self._engine = engine
        self._max_losses = max_losses
        self._every = every
        self._may_sweep = may_sweep
        self._sweep_due = 0.0
        self._prune_due = monotonic() + PRUNE_EVERY * random.random()

    def is_due(self) -> bool:
        """Whether there is something to look for."""
        return monotonic() >= min(self._sweep_due, self._prune_due)

    def until_prune(self) -> float:
        """Seconds until old records are looked for: soon, while there are many."""
        return max(0.0, self._prune_due - monotonic())

    def run_all(self) -> SweepResult:
        """Look now, and do what is to be done. Raises as `run_due` does."""
        self._prune_due = self._sweep_due = 0.0
        return self.run_due()

    def run_due(self) -> SweepResult:
        """Look, and do what is to be done.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        if monotonic() >= self._prune_due:
            self._prune()
        if monotonic() < self._sweep_due:
            return SweepResult()
        # Spread, so that a hundred workers do not all look at the same moment.
        self._sweep_due = monotonic() + self._every * (0.5 + random.random())
        return self._engine.sweep(self._max_losses) if self._may_sweep() else SweepResult()

    def _prune(self) -> None:
        began = monotonic()
        self._prune_due = began + PRUNE_EVERY
        if self._engine.prune(PRUNED_AT_ONCE) >= PRUNED_AT_ONCE:
            now = monotonic()
            self._prune_due = now + (now - began)
