"""What a worker holds: claims at work, settlements not yet written, leases not yet done.

The worker's loop alone changes it; `finish` is called by whichever thread ends a job, and only appends.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from steadypool.durable.records import Claim, Settlement


@dataclass(slots=True, eq=False)
class Held:
    """One claim at work."""

    claim: Claim
    worker: int
    """Under which registration it was claimed."""
    future: Any = None
    wanted_cancelled: bool = False
    lost: bool = False
    """Its lease was lost: nothing that it does counts any more."""


class Desk:
    """See the module's text."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        """By the job's number. A job that was lost and is claimed again here is held twice: the older in `lost`."""
        self.lost: set[Held] = set()
        self.ended: deque[Held] = deque()
        """Jobs that have ended and have not been looked at."""
        self.pending: list[Settlement] = []
        """What is to be written."""
        self.since: float | None = None
        """When the first of what is pending or ended did."""
        self._open: Counter[int] = Counter()
        """Jobs of each lease that are not settled."""
        self.done: list[int] = []
        """Leases with no job left."""

    def take(self, claim: Claim, worker: int) -> Held:
        """A claim has come."""
        held = self.held[claim.number] = Held(claim, worker)
        self._open[claim.lease] += 1
        return held

    def finish(self, held: Held) -> None:
        """A job has ended. From any thread."""
        self.since = self.since or monotonic()
        self.ended.append(held)

    def let_go(self, held: Held) -> None:
        """It is at work no more."""
        if self.held.get(held.claim.number) is held:
            del self.held[held.claim.number]
        self.lost.discard(held)

    def settle(self, held: Held, settlement: Settlement) -> None:
        """It is to be written down."""
        self.let_go(held)
        self.pending.append(settlement)
        lease = held.claim.lease
        self._open[lease] -= 1
        if not self._open[lease]:
            del self._open[lease]
            self.done.append(lease)

    def lose_all(self) -> list[Held]:
        """The lease is lost, and with it all that is held; returns that."""
        lost = list(self.held.values())
        for held in lost:
            held.lost = True
        self.lost.update(lost)
        self.held.clear()
        self._open.clear()
        self.done.clear()
        return lost

    def leases(self) -> list[int]:
        """The leases that are known and not written off."""
        return [*self._open, *self.done]

    def written(self, count: int, leases: int) -> None:
        """The first so many settlements and leases have been written down."""
        del self.pending[:count]
        del self.done[:leases]
        if not self.pending and not self.ended:
            self.since = None

    def oldest(self) -> float:
        """Seconds that the first of what is not written has waited."""
        return 0.0 if self.since is None else monotonic() - self.since

    def not_settled(self) -> Iterable[Held]:
        """Everything at work, lost or not."""
        return (*self.held.values(), *self.lost)
