"""What another program sees of a program's pools: `Snapshot` and its parts, plain enough for JSON.

(Annotations are real here, not texts, for those who decode.)
"""

from dataclasses import dataclass

from steadypool.model.health import Health
from steadypool.model.reports import PoolStats, WorkerStats


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """How long the jobs of one task ran, while a monitor watched."""

    task: str
    ended: int
    """Jobs that have ended after at least one attempt."""
    failed: int
    """Those of them that did not succeed."""
    seconds: float
    """How long their last attempts ran, all together."""
    longest: float
    """The longest of them, in seconds."""

    @property
    def mean(self) -> float:
        """How long one ran, in seconds."""
        return self.seconds / self.ended if self.ended else 0.0


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A group of errors, without its samples."""

    task: str
    type_name: str
    message: str
    where: str
    count: int
    first_seen: float
    """Seconds since the epoch."""
    last_seen: float


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """One pool at one moment."""

    number: int
    """A number that identifies the pool; names need not be unique."""
    kind: str
    """``"threads"``, ``"processes"`` or ``"asyncio"``."""
    open_for: float
    """Seconds since it was made."""
    health: Health
    stats: PoolStats
    """The books. Of very many workers, the rows of those that run longest."""
    stuck_rows: tuple[WorkerStats, ...] = ()
    """The workers left behind, with the jobs that did not stop."""
    tasks: tuple[TaskTimes, ...] = ()
    """Run times by task, the slowest on average first; empty while no monitor watches."""
    errors: tuple[ErrorLine, ...] = ()
    """The most frequent failures."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All pools of one program that can be seen."""

    version: str
    """Of Steadypool."""
    pid: int
    program: str
    """Its command line."""
    at: float
    """`time.monotonic()` of its machine, in seconds, for rates between two of these."""
    pools: tuple[PoolSnapshot, ...]
