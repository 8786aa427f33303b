"""Takes a `PoolSnapshot`: what is shown of a pool outside of its program. Bounded, however big the pool is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.reports import WorkerStats
from steadypool.model.snapshots import ErrorLine, PoolSnapshot, TaskTimes
from steadypool.pools.inspect.health import read_health

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core

MAX_ROWS = 200
"""Workers in a snapshot."""
MAX_ERRORS = 20
MAX_TASKS = 50


def take_snapshot(core: Core, number: int, tasks: tuple[TaskTimes, ...] = (), *, patience: float = 0.0) -> PoolSnapshot:
    """What there is to see of the pool now. From any thread; see `read_health` for *patience*."""
    health = read_health(core, patience)
    stats = core.stats()
    with core.lock:
        stuck = [worker.row() for worker in list(core.workers.stuck)]
    return PoolSnapshot(
        number=number,
        kind=core.workers.kind,
        open_for=monotonic() - core.opened,
        health=health,
        stats=replace(stats, worker_rows=_longest(stats.worker_rows)),
        stuck_rows=_longest(tuple(stuck)),
        tasks=tasks[:MAX_TASKS],
        errors=tuple(
            ErrorLine(g.task, g.type_name, g.message, g.where, g.count, g.first_seen, g.last_seen)
            for g in core.ledger.groups()[:MAX_ERRORS]
        ),
    )


def _longest(rows: tuple[WorkerStats, ...]) -> tuple[WorkerStats, ...]:
    """All rows, or of too many those that run longest."""
    if len(rows) <= MAX_ROWS:
        return rows
    return tuple(sorted(rows, key=lambda row: -row.running_for)[:MAX_ROWS])
