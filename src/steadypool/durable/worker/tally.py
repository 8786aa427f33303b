"""What a worker has done so far: counted as it is written down, for its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from steadypool.durable.engine.records import Settlement, Verdict
from steadypool.durable.worker.emitter import Emitter
from steadypool.durable.worker.in_flight import InFlight
from steadypool.durable.worker.lazy_events import events
from steadypool.durable.worker.report import WorkReport
from steadypool.model.clock import monotonic
from steadypool.model.reports import DrainReport
from steadypool.model.states import Outcome
from steadypool.primitives.error_ledger import Ledger


class Tally:
    """The books of one worker. Its loop alone changes them."""

    def __init__(self, announcer: Emitter, notes: list[str]) -> None:
        self._announcer = announcer
        self._began = monotonic()
        self.claimed = 0
        self.refused = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.ledger = Ledger()
        self.notes = notes
        self.pool: DrainReport | None = None
        """What the pool said at the end."""

    def note_written(self, settlements: Sequence[Settlement], refused: frozenset[tuple[int, int]]) -> None:
        """The engine has these now, but for those that it refused."""
        for settlement in settlements:
            if (settlement.claim.number, settlement.claim.lease) in refused:
                self.refused += 1
                self._tell_refused(settlement)
            else:
                self.verdicts[settlement.verdict] += 1

    def tell_unwritable(self, instead: Settlement, why: Exception) -> None:
        """A job has run, and is discarded since the store cannot keep its result."""
        claim, name, at = instead.claim, self._announcer.name, monotonic()
        self._announcer.tell(
            lambda: events.JobGivenUp(
                name, at, claim.id, claim.task, claim.queue, claim.attempt, Outcome.FAILED, why, "", instead.reason
            )
        )

    def note_lost(self, jobs: int) -> None:
        """The store does not know of the leases that so many jobs at work are held by."""
        name = self._announcer.name
        if jobs:
            self._announcer.tell(lambda: events.LeaseLost(name, monotonic(), jobs))

    def _tell_refused(self, settlement: Settlement) -> None:
        name = self._announcer.name
        claim = settlement.claim
        self._announcer.tell(lambda: events.ResultRefused(name, monotonic(), claim.id, claim.token))

    def report(self, in_flight: InFlight) -> WorkReport:
        """All of it, and what is still in flight."""
        left = dict.fromkeys(held.claim.id for held in (*in_flight.not_settled(), *in_flight.ended))
        counts = self.verdicts
        return WorkReport(
            self._announcer.name,
            monotonic() - self._began,
            self.claimed,
            counts[Verdict.COMPLETE],
            counts[Verdict.RETRY],
            counts[Verdict.DISCARD],
            counts[Verdict.CANCEL],
            counts[Verdict.RETURN],
            self.refused,
            tuple(settlement.claim.id for settlement in (*in_flight.unwritten, *in_flight.pending)),
            tuple(left),
            self.pool,
            self.ledger.groups(),
            tuple(self.notes),
        )
