"""The named queues."""

from __future__ import annotations

from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.pages.overview import HOUR, QueueLine, depths_of, lines_of
from steadypool.durable.engine.protocol import Engine


def page(look: Look) -> Page:
    """The page."""
    lines, count = look.reader.read("queues", _read)
    return Page("queues", "Queues", {"queues": lines, "queue_count": count, "now": look.now()})


def _read(engine: Engine) -> tuple[list[QueueLine], int]:
    now = engine.now()
    depths, count = depths_of(engine)
    return lines_of(depths, engine.figures.by_minute(HOUR), engine.workers(), now), count
