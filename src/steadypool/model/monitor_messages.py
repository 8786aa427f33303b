"""What is said between a program that can be watched and who watches it."""

from dataclasses import dataclass
from typing import Literal

from steadypool.model.snapshots import PoolSnapshot


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks for."""

    do: Literal["look", "glance", "stack", "errors", "drain", "cancel"]
    """``glance`` is a look that does not begin to measure run times."""
    pool: int = 0
    """The pool's number, from a snapshot."""
    job: str = ""
    """Of ``stack`` and ``cancel``: the job's id."""
    seconds: float | None = None
    """Of ``drain``: its time limit."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a pool ended."""

    pool: PoolSnapshot
    """Its last books."""
    report: str
    """The `DrainReport`, as text."""
