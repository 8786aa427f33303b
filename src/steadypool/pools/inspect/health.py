"""A pool's `Health`, read from its core."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from steadypool.model.health import Health
from steadypool.rules.health import LOOP_PATIENCE, is_alive, reasons_not_ready

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core


def read_health(core: Core, patience: float = LOOP_PATIENCE) -> Health:
    """How the pool is. From any thread; waits up to *patience* seconds for a pool's event loop to answer."""
    forked = core.pid != os.getpid()
    lag = 0.0 if forked or core.is_closed() else core.workers.loop_lag(patience)
    with core.lock:
        places, stuck = core.workers.places(), len(core.workers.stuck)
        reasons = reasons_not_ready(
            core.public_state,
            forked=forked,
            broken=core.broken_by is not None,
            capacity=places,
            loop_lag=lag,
        )
        return Health(
            name=core.name,
            state=core.public_state,
            alive=is_alive(reasons),
            ready=not reasons,
            reasons=reasons,
            full=core.queue.is_full(),
            stuck=stuck,
            capacity=places,
        )
