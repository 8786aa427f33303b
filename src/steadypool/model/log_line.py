"""How a kind of event is logged: `LogLine`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogLine:
    """A line for people, and how important it is."""

    level: int
    """As `logging` has it."""
    text: str
    """With the names of the event's fields in it, as ``%(job_id)s``."""
    traceback: bool = False
    """Whether the error's traceback goes with it."""
