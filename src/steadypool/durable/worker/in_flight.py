"""What a worker holds: claims at work, settlements not yet written, leases not yet done.

The worker's loop alone changes it; `finish` is called by the thread that ends a job, and only appends.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from steadypool.durable.engine.records import Claim, Settlement
from steadypool.durable.worker.run_job import Ended, Performed
from steadypool.durable.worker.saver import Beginning
from steadypool.model.clock import monotonic
from steadypool.model.states import Outcome
from steadypool.pools.processes import parts
from steadypool.pools.processes.ipc.exceptions import unpack_error

End = tuple[Outcome, BaseException | None, Performed | None]


@dataclass(slots=True, eq=False)
class HeldClaim:
    """One claim at work."""

    claim: Claim
    worker: int
    """Under which registration it was claimed."""
    kind: str = ""
    """Of the pool that runs it."""
    since: float = 0.0
    """When it was claimed, by the worker's own clock."""
    future: Any = None
    beginning: Beginning | None = None
    """With what a job begins that saves."""
    bundle: Bundle | None = None
    """Those that it travels with."""
    wanted_cancelled: bool = False
    lost: bool = False
    """Its lease was lost: nothing that it does counts any more."""


class Bundle:
    """Short jobs of one task that are one job for the pool.

    Each leaves ``members`` by one atomic step: all that are left when the bundle ends, some when they are taken back.
    """

    def __init__(self, members: list[HeldClaim], future: Any) -> None:
        self._members = members
        self._future = future
        self._begun: int | None = None
        """How many have begun at most, once the others are withheld from the process."""
        self._places = {held.claim.number: place for place, held in enumerate(members)}
        self._ended: list[Ended] | None = None

    def take_back(self, held: HeldClaim) -> bool:
        """Have this one not begin; false if it has, or has ended. It is then for the caller to settle it."""
        if self._begun is None:
            self._begun = parts.withhold(self._future)
        if self._begun is None or self._places[held.claim.number] < self._begun:
            return False
        with suppress(ValueError):  # the bundle has just ended
            self._members.remove(held)
            return True
        return False

    def end_of(self, held: HeldClaim) -> End | None:
        """How one of them has ended; ``None`` if that is not known, and it has to run alone."""
        outcome = self._future.outcome
        if outcome in (Outcome.RETURNED, Outcome.INTERRUPTED):
            return outcome, None, None
        if outcome is not Outcome.SUCCEEDED:
            return None
        if self._ended is None:
            self._ended = self._future.result()
        place = self._places[held.claim.number]
        if place >= len(self._ended):
            return None
        encoded, seconds = self._ended[place]
        if seconds is None:
            assert encoded is not None
            return Outcome.FAILED, unpack_error(encoded), None
        return Outcome.SUCCEEDED, None, (encoded, seconds)


def end_of(held: HeldClaim) -> End | None:
    """How a job has ended, as the pool says; ``None`` if that is not known."""
    if held.bundle is not None:
        return held.bundle.end_of(held)
    future = held.future
    if future.outcome is Outcome.SUCCEEDED:
        return Outcome.SUCCEEDED, None, future.result()
    try:
        return future.outcome, future.exception(), None
    except BaseException as cancelled:
        return future.outcome, cancelled, None


def has_run(held: HeldClaim) -> bool:
    """Whether a job that has ended came to its own end, and was not returned or stopped by the drain."""
    end = end_of(held)
    return end is not None and end[0] not in (Outcome.RETURNED, Outcome.INTERRUPTED)


class InFlight:
    """See the module's text."""

    def __init__(self) -> None:
        self.held: dict[int, HeldClaim] = {}
        """By the job's number. A job that was lost and is claimed again here is held twice: the older in `lost`."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Of `held`, by kind and queue."""
        self.lost: set[HeldClaim] = set()
        self.ended: deque[HeldClaim] = deque()
        """Jobs that have ended and have not been looked at."""
        self.since: float | None = None
        """When the first of those did."""
        self.pending: list[Settlement] = []
        """What is to be written."""
        self.unwritten: list[Settlement] = []
        """What the store does not take in any form. Those jobs run again when this worker has gone."""
        self.saves = False
        """Whether any of them may save: a task of theirs has a checkpoint."""
        self.size = 0
        """Bytes of the arguments of all that is at work, lost or not."""
        self._open: Counter[int] = Counter()
        """Jobs of each lease that are not settled."""
        self.done: list[int] = []
        """Leases with no job left."""

    def take(self, claim: Claim, worker: int, kind: str, since: float = 0.0) -> HeldClaim:
        """A claim has come, for a pool of that kind."""
        before = self.held.get(claim.number)
        if before is not None:
            self._lose(before)  # the store has forgotten that claim: it has gone back in time
        held = self.held[claim.number] = HeldClaim(claim, worker, kind, since)
        self.counts[kind, claim.queue] += 1
        self.size += len(claim.payload)
        self._open[claim.lease] += 1
        return held

    def finish(self, group: list[HeldClaim]) -> None:
        """Jobs have ended: they leave the list. From any thread."""
        while group:
            try:
                self.ended.append(group.pop(0))
            except IndexError:
                break  # the last one was just taken back
        self.since = self.since or monotonic()  # after them: else `take_ended` could forget it, and they would wait

    def take_ended(self) -> list[HeldClaim]:
        """The jobs that have ended since this was last called."""
        self.since = None  # before they are taken: what ends from now on begins to wait anew
        return [self.ended.popleft() for _ in range(len(self.ended))]

    def let_go(self, held: HeldClaim) -> None:
        """It is at work no more."""
        self.size -= len(held.claim.payload)
        if self.held.get(held.claim.number) is held:
            self._drop(held)
        self.lost.discard(held)

    def settle(self, held: HeldClaim, settlement: Settlement) -> None:
        """It is to be written down."""
        self.let_go(held)
        self.pending.append(settlement)
        lease = held.claim.lease
        self._open[lease] -= 1
        if not self._open[lease]:
            del self._open[lease]
            self.done.append(lease)

    def lose_all(self) -> list[HeldClaim]:
        """The registration is lost, and with it all that is held: it is asked to stop, and returned."""
        lost = list(self.held.values())
        for held in lost:
            self._lose(held)
        self._open.clear()
        self.done.clear()
        return lost

    def lose(self, leases: Collection[int]) -> list[HeldClaim]:
        """These leases are lost, and with them what is held under them: it is asked to stop, and returned."""
        lost = [held for held in self.held.values() if held.claim.lease in leases]
        for held in lost:
            self._lose(held)
        for lease in leases:
            self._open.pop(lease, None)
        self.done = [lease for lease in self.done if lease not in leases]
        return lost

    def _lose(self, held: HeldClaim) -> None:
        held.lost = True
        self._drop(held)
        self.lost.add(held)
        if held.future is not None:
            held.future.cancel(running=True, cause="lease_lost")

    def _drop(self, held: HeldClaim) -> None:
        del self.held[held.claim.number]
        self.counts[held.kind, held.claim.queue] -= 1

    def claims(self) -> list[tuple[int, int]]:
        """Lease and number of everything that is at work, or whose settlement is not yet written."""
        settled = [settlement.claim for settlement in (*self.unwritten, *self.pending)]
        return [(claim.lease, claim.number) for claim in (*(held.claim for held in self.held.values()), *settled)]

    def written(self, count: int, leases: int) -> None:
        """The first so many settlements and leases have been written down."""
        del self.pending[:count]
        del self.done[:leases]

    def were_written(self, claims: Collection[tuple[int, int]]) -> list[Settlement]:
        """The settlements of these, ``(lease, number)``, were written, though we had not heard; returns them."""
        if not claims:
            return []
        written = [one for one in self.pending if (one.claim.lease, one.claim.number) in claims]
        self.pending[:] = [one for one in self.pending if (one.claim.lease, one.claim.number) not in claims]
        return written

    def set_aside(self) -> None:
        """The first settlement cannot be written; the others can."""
        self.unwritten.append(self.pending.pop(0))

    def oldest(self) -> float:
        """Seconds that the first of what has ended has waited to be looked at."""
        return 0.0 if self.since is None else monotonic() - self.since

    def not_settled(self) -> Iterable[HeldClaim]:
        """Everything at work, lost or not."""
        return (*self.held.values(), *self.lost)
