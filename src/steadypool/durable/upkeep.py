"""What any worker does for all now and then: take back what dead workers held, and delete old records."""

from __future__ import annotations

import random
from collections.abc import Callable

from steadypool.durable.engine import Engine
from steadypool.durable.records import Swept
from steadypool.words.clock import monotonic

PRUNED_AT_ONCE = 500
PRUNE_EVERY = 10.0
"""Seconds between two prunings that found little; one that found a full batch is followed at once."""


class Upkeep:
    """Does it when it is due. Both find nothing to do without writing, so any number of workers may do it.

    Args:
        may_judge: whether leases that seem to have run out have done so.
    """

    def __init__(self, engine: Engine, max_losses: int, every: float, may_judge: Callable[[], bool]) -> None:
        self._engine = engine
        self._max_losses = max_losses
        self._every = every
        self._may_judge = may_judge
        self._due = 0.0
        self._prune_due = monotonic() + PRUNE_EVERY * random.random()

    def is_due(self) -> bool:
        """Whether there is something to look for."""
        return monotonic() >= self._due

    def tend(self) -> Swept:
        """Look, and do what is to be done.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        # Spread, so that a hundred workers do not all look at the same moment.
        self._due = monotonic() + self._every * (0.5 + random.random())
        swept = self._engine.sweep(self._max_losses) if self._may_judge() else Swept()
        if monotonic() >= self._prune_due:
            pruned = self._engine.prune(PRUNED_AT_ONCE)
            self._prune_due = monotonic() + (0.0 if pruned == PRUNED_AT_ONCE else PRUNE_EVERY)
        return swept
