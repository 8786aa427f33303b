"""`WorkReport`: what a durable worker did, and what it could not write down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from steadypool.model.printable import printable
from steadypool.model.reports import DrainReport, ErrorGroup


@dataclass(frozen=True, slots=True)
class WorkReport:
    """The end of a worker's work."""

    name: str
    elapsed: float
    """Seconds from its start to its end."""
    claimed: int
    completed: int
    retried: int
    """Attempts that failed and are followed by another."""
    discarded: int
    cancelled: int
    returned: int
    """Claims that were given back, with their attempts: not started, interrupted, or of an unknown task."""
    refused: int
    """Results that came too late: the lease was lost."""
    unwritten: tuple[str, ...] = ()
    """Jobs that have ended, and whose end could not be written: they run again after their lease."""
    left: tuple[str, ...] = ()
    """Jobs that still ran at the end, or could not be given back: they run again after their lease."""
    pool: DrainReport | None = None
    """What the pool says; ``None`` if it could not be had in time."""
    errors: tuple[ErrorGroup, ...] = ()
    """The failed attempts, grouped by what failed and where."""
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Everything claimed was settled and written down, and nothing was interrupted or came too late."""
        return not (self.unwritten or self.left or self.refused) and self.pool is not None and self.pool.on_time

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data that ``json.dumps`` takes."""
        pool = None if self.pool is None else self.pool.to_dict()
        return {**asdict(self), "pool": pool, "ok": self.ok}

    def __str__(self) -> str:
        lines = [
            f"worker {self.name!r} ended after {self.elapsed:.2f} s: {self.claimed} claimed, {self.completed} completed"
        ]
        others = ("retried", "discarded", "cancelled", "returned", "refused")
        counts = [f"{getattr(self, name)} {name}" for name in others if getattr(self, name)]
        lines += [f"  {', '.join(counts)}"] if counts else []
        lines += _row("not written as far as is known, will run again then", self.unwritten)
        lines += _row("left running, will run again", self.left)
        lines += [f"  note: {note}" for note in self.notes]
        if self.pool is not None and not self.pool.ok:
            lines += [f"  {line}" for line in str(replace(self.pool, errors=())).splitlines()]
        return "\n".join(map(printable, lines))


def _row(title: str, jobs: tuple[str, ...]) -> list[str]:
    more = ", …" if len(jobs) > 5 else ""
    return [f"  {title}: {len(jobs)} ({', '.join(jobs[:5])}{more})"] if jobs else []
