"""What is put on a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from steadypool.contrib.web.look import Look, Page
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.schedules import ScheduleHandle

SHOWN = 50
TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One schedule."""

    handle: ScheduleHandle
    when: str
    ticks: tuple[datetime, ...]
    late: float
    """Seconds since its next job should have been put."""


def page(look: Look) -> Page:
    """The page."""
    after = look.request.query.get("after")
    queue = look.reader.queue
    lines, now = look.reader.cache.get(("schedules", after), lambda: _read(queue, after))
    values = {"schedules": lines[:SHOWN], "more": len(lines) > SHOWN, "after": after, "now": now}
    return Page("schedules", "Schedules", values)


def _read(queue: Queue, after: str) -> tuple[list[Line], float]:
    now = queue.engine.now()
    return list(_lines(queue.schedules.list(after=after, limit=SHOWN + 1), now)), now


def _lines(handles: list[ScheduleHandle], now: float) -> Iterator[Line]:
    for handle in handles:
        is_active = handle.state == "active"
        ticks = tuple(handle.next(TICKS, now=now)) if is_active else ()
        yield Line(handle, str(handle.schedule), ticks, max(0.0, now - handle.row.due) if is_active else 0.0)
