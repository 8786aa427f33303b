"""What was done by a page, and by which user: `WebAction`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from steadypool.durable.engine.records import JobFilter
from steadypool.model.printable import printable

_LOG = logging.getLogger("steadypool.web")
SHOWN_IDS = 5


@dataclass(frozen=True, slots=True)
class WebAction:
    """One action that a user asked for, and what became of it."""

    user: str
    action: str
    """``"retry"``, ``"cancel"``, ``"discard"``, ``"pause"``, ``"resume"``, ``"run"``, ``"set"`` or ``"reset"``."""
    what: str
    """``"job"``, ``"queue"``, ``"schedule"``, ``"limit"`` or ``"batch"``."""
    ids: tuple[str, ...]
    """Of the jobs, or the batch; or the name of the queue, the schedule or the limit, and of that the key. Empty: all
    jobs that the filter finds."""
    filter: JobFilter | None
    at: float
    """In seconds since the epoch."""
    changed: int
    """How many of them were changed."""
    error: str = ""
    """Why it could not be done."""

    def __str__(self) -> str:
        shown = ", ".join((*self.ids[:SHOWN_IDS], *(("…",) if len(self.ids) > SHOWN_IDS else ())))
        which = shown or f"all that {self.filter} finds"
        end = f": {self.error}" if self.error else f", {self.changed:,} changed"
        return printable(f"{self.user}: {self.action} {self.what} {which}{end}")


Audit = Callable[[WebAction], object]


def tell(action: WebAction, audit: Audit | None) -> None:
    """Log the action, and hand it to *audit*. An error of *audit* is logged: the action is done by then."""
    _LOG.info("%s", action)
    if audit is None:
        return
    try:
        audit(action)
    except Exception:
        _LOG.exception("audit has raised for %s", action)
