"""Who works, and on what."""

from __future__ import annotations

from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.pages.overview import MOST_RUNNING, RUNNING, runs_of
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord, WorkerRow

MOST_WORKERS = 200


def page(look: Look) -> Page:
    """The page."""
    workers, running = look.reader.read("workers", _read)
    values = {
        "workers": workers[:MOST_WORKERS],
        "count": len(workers),
        "runs": runs_of(running),
        "is_cut": len(running) == MOST_RUNNING,
        "now": look.now(),
    }
    return Page("workers", "Workers", values)


def _read(engine: Engine) -> tuple[list[WorkerRow], list[JobRecord]]:
    return list(engine.workers()), list(engine.figures.page(RUNNING, MOST_RUNNING).records)
