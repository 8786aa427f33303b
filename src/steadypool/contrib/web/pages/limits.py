"""What holds jobs back: limits as they hold now, and what was set by hand."""

from __future__ import annotations

from steadypool.contrib.web.look import Look, Page
from steadypool.durable.client.limits import LimitInfo
from steadypool.durable.client.queue import Queue

MOST_LIMITS = 500


def page(look: Look) -> Page:
    """The page."""
    queue = look.reader.queue
    found = look.reader.cache.get("limits", lambda: _read(queue))
    values = {"limits": found[:MOST_LIMITS], "count": len(found), "now": look.now()}
    return Page("limits", "Limits", values)


def _read(queue: Queue) -> list[LimitInfo]:
    return queue.limits.list()
