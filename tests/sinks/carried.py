"""What sinks send along to worker processes, and the jobs that find it there."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

here: ContextVar[str] = ContextVar("here", default="nothing")


def look() -> str:
    """What the job finds."""
    return here.get()


class Note:
    """Leaves a text for the job."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self) -> object:
        return here.set(self.text)


def refuse() -> None:
    """Fails in the worker."""
    raise LookupError("told to fail")


class CannotBeLoaded:
    """Pickles, and cannot be loaded again."""

    def __reduce__(self) -> Any:
        return refuse, ()

    def __call__(self) -> None:
        """Never called."""
