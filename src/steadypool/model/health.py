"""How a pool is: `Health`, for those who decide whether to send it work, or to start its program anew."""

from dataclasses import dataclass
from enum import StrEnum

from steadypool.model.states import PoolState


class HealthReason(StrEnum):
    """Why a pool is not ready, or not alive."""

    DRAINING = "draining"
    """It takes no more jobs and runs those it has."""
    CANCELLING = "cancelling"
    """Its drain's time is up."""
    CLOSED = "closed"
    """It has ended in order."""
    FORKED = "forked"
    """It is a forked child's copy: the pool and its workers are in the parent process."""
    BROKEN = "broken"
    """Its initializer failed, or no worker could be started."""
    ALL_STUCK = "all workers stuck"
    """No worker is left to run jobs: more threads or coroutines are stuck than may be replaced."""
    LOOP_BLOCKED = "event loop blocked"
    """A job, or something else on its event loop, holds the loop and does not await."""
    LOOP_ENDED = "event loop ended"
    """Its event loop was closed while the pool was open."""

    STARTING = "starting"
    """A worker of a durable queue that has not begun to claim."""
    STORE_AWAY = "database does not answer"
    """That of a durable queue; its worker tries again, and goes on on its own."""


FATAL = frozenset(
    {HealthReason.BROKEN, HealthReason.ALL_STUCK, HealthReason.LOOP_BLOCKED, HealthReason.LOOP_ENDED},
)
"""The reasons that nothing but a new start of the program mends. With one of them a pool is not alive."""


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a pool at one moment."""

    name: str
    """The pool's name."""
    state: PoolState
    alive: bool
    """Whether it is working or shutting down normally; if not, only a restart of the program helps."""
    ready: bool
    """Whether it takes jobs and has a worker to run them."""
    reasons: tuple[HealthReason, ...] = ()
    """Why it is not ready; empty if it is."""
    full: bool = False
    """Whether the queue has no room now. Such a pool is ready: holding back is what a bounded queue is for."""
    stuck: int = 0
    """Workers left behind with a job that did not stop."""
    capacity: int = 0
    """How many jobs can run at a time."""

    def __str__(self) -> str:
        how = "ready" if self.ready else "not ready" if self.alive else "not alive"
        why = f": {', '.join(self.reasons)}" if self.reasons else ""
        return f"pool {self.name!r} is {how}{why}"
