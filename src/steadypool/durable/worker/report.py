"""What a durable worker did: counted while it works, and a `WorkReport` at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from steadypool.durable.engine.records import Settlement, Verdict
from steadypool.durable.worker.emitter import Emitter, events
from steadypool.durable.worker.in_flight import InFlight, has_run
from steadypool.durable.worker.minutes import Minutes
from steadypool.model.clock import monotonic
from steadypool.model.printable import printable
from steadypool.model.reports import DrainReport, ErrorGroup
from steadypool.model.states import Outcome
from steadypool.primitives.error_ledger import Ledger


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What a worker did, from its start to its end."""

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
    """Claims that were given back, with their attempts: not started, snoozed, or of an unknown task."""
    interrupted: int
    """Jobs that had begun, and that the drain has stopped or had hand over where they saved: they run again, and no
    attempt is spent."""
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
        others = ("retried", "discarded", "cancelled", "returned", "interrupted", "refused")
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


class WorkCounts:
    """What one worker has done so far, counted as it is written down. Its loop alone changes it."""

    def __init__(self, emitter: Emitter, notes: list[str], minutes: Minutes) -> None:
        self._emitter = emitter
        self._minutes = minutes
        self._began = monotonic()
        self.claimed = 0
        self.refused = 0
        self.interrupted = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.ledger = Ledger()
        self.notes = notes
        self.pool: DrainReport | None = None
        """What the pool said at the end."""

    def note_written(self, settlements: Sequence[Settlement], refused: frozenset[tuple[int, int]]) -> None:
        """The engine has these now, but for those that it refused."""
        self._minutes.note(settlements, refused)
        for settlement in settlements:
            claim = settlement.claim
            if (claim.number, claim.lease) in refused:
                self.refused += 1
                self._emitter.report(events.ResultRefused, claim.id, claim.token)
            else:
                self.verdicts[settlement.verdict] += 1
                self.interrupted += settlement.interrupted

    def emit_unwritable(self, instead: Settlement, why: Exception) -> None:
        """A job has run, and is discarded since the store cannot keep its result."""
        claim = instead.claim
        job = claim.id, claim.task, claim.queue, claim.attempt
        self._emitter.report(events.JobGivenUp, *job, Outcome.FAILED, why, "", instead.reason)

    def report(self, in_flight: InFlight) -> WorkReport:
        """All of it, and what is still in flight."""
        ended = list(in_flight.ended)
        unseen = dict.fromkeys(held.claim.id for held in ended if has_run(held))
        left = dict.fromkeys(held.claim.id for held in (*in_flight.not_settled(), *ended))
        counts = self.verdicts
        return WorkReport(
            self._emitter.name,
            monotonic() - self._began,
            self.claimed,
            counts[Verdict.COMPLETE],
            counts[Verdict.RETRY],
            counts[Verdict.DISCARD],
            counts[Verdict.CANCEL],
            counts[Verdict.RETURN] - self.interrupted,
            self.interrupted,
            self.refused,
            (*(settlement.claim.id for settlement in (*in_flight.unwritten, *in_flight.pending)), *unseen),
            tuple(job for job in left if job not in unseen),
            self.pool,
            self.ledger.groups(),
            tuple(self.notes),
        )
