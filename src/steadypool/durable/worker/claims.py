"""What goes between what a worker holds and the engine, in one transaction: what has ended goes, new claims come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from steadypool.durable.engine.errors import EngineBusy, EngineError, EngineFull, EngineGone
from steadypool.durable.engine.records import Claim, ClaimResult, Settlement, Verdict
from steadypool.durable.worker import verdicts
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.job_reports import JobReports
from steadypool.durable.worker.room import Ask
from steadypool.rules import claim_size

RECONCILE_EVERY = 3.0
"""Seconds after which a worker tells the engine anew what it really holds."""
LARGEST_CALL = 32_000_000
"""Bytes of results that one call writes at most, if it is not a single one that has more."""
SETTLE = Ask((), 0)
"""A claim of nothing."""
OF_NO_JOB = Settlement(Claim(0, 0, "", 0, 0, 0, 0, 0, "", "", b""), Verdict.CANCEL)
"""Of no job: every engine refuses it by the fence, having done all that it does for others."""


def may_be_for_its_content(error: Exception) -> bool:
    """Whether a call may have failed for what was to be written; not: the store is busy, gone or full."""
    return isinstance(error, EngineError) and not isinstance(error, (EngineBusy, EngineGone, EngineFull))


class Claimer:
    """Whatever the engine raises, nothing is lost: what could not be written stays in flight and goes with the next.

    A call that raised may have happened, and have claimed jobs of which we never heard: the next one tells the engine
    first what is really held here. So it does now and then in any case, since a store may go back in time.

    If it is for what one job brought that the engine refuses a call (an error's text, a result too large), that job's
    settlement is found by halves, and written without it; all others are written as they are.
    """

    def __init__(self, context: WorkerContext, number: Callable[[], int], declare_limits: Callable[[], None]) -> None:
        self.declare_limits = declare_limits
        """Declares the program's limits, if it is time."""
        self.reports = JobReports(context.engine, context.in_flight)
        self._engine = context.engine
        self._in_flight = context.in_flight
        self._number = number
        """The worker's, under which it is registered at present."""
        self._counts, self._emitter = context.counts, context.emitter
        self._backoff = context.backoff
        self._reconcile_at = monotonic() + RECONCILE_EVERY

    def settle_and_claim(self, asks: Sequence[Ask] = ()) -> ClaimResult | None:
        """Write down what has ended and claim; ``None`` if the engine is in trouble."""
        in_flight = self._in_flight
        number = self._number()
        first = asks[0] if asks and not asks[0].others_than else SETTLE
        settlements: Sequence[Settlement] = ()
        try:
            if self._backoff or monotonic() >= self._reconcile_at:
                self._reconcile(number)
            if asks:
                self.declare_limits()  # no job is claimed before it is known what limits it
            settlements, leases = _first_of(in_flight.pending), len(in_flight.done)
            if in_flight.unwritten or len(settlements) < len(in_flight.pending):
                leases = 0  # a lease is done when all of it is settled
            room = claim_size.room_in_bytes(in_flight.size)
            done = in_flight.done[:leases]
            answer = self._engine.claim(number, first.queues, first.limit, settlements, done, room)
        except RETRYABLE as error:
            if settlements and may_be_for_its_content(error):
                return self._settle_apart_and_claim(asks, settlements)
            self._backoff.failed(error)
            return None
        self._backoff.recovered()
        self._note_written(settlements, answer.refused, leases)
        if first is not SETTLE:
            asks = asks[1:]
        answer = self._claim_others(answer, asks, room)
        self._counts.claimed += len(answer.claims)
        return answer

    def _claim_others(self, answer: ClaimResult, asks: Sequence[Ask], room: int) -> ClaimResult:
        """The *answer*, with what these claims give."""
        number = self._number()
        for ask in asks:
            room -= sum(len(claim.payload) for claim in answer.claims)
            try:
                if ask.others_than:
                    found = self._engine.claim_except(number, ask.queues, ask.limit, ask.others_than, max(1, room))
                    more, due = len(found) == ask.limit, answer.next_due
                else:
                    other = self._engine.claim(number, ask.queues, ask.limit, (), (), max(1, room))
                    found, more, due = other.claims, other.more, other.next_due
            except RETRYABLE as error:
                self._backoff.failed(error)
                return answer
            answer = replace(answer, claims=answer.claims + found, more=answer.more or more, next_due=due)
        return answer

    def _settle_apart_and_claim(self, asks: Sequence[Ask], settlements: Sequence[Settlement]) -> ClaimResult | None:
        try:
            self._engine.settle_many([OF_NO_JOB])  # if not even that can be done it is not for what the jobs brought
            self._settle_apart(settlements)
        except RETRYABLE as error:
            self._backoff.failed(error)
            return None
        return self.settle_and_claim(asks)

    def _settle_apart(self, settlements: Sequence[Settlement]) -> None:
        """Write these, which are the first in flight; by halves if they are refused."""
        try:
            refused = self._engine.settle_many(settlements)
        except EngineError as error:
            if not may_be_for_its_content(error):
                raise
            if len(settlements) == 1:
                self._settle_without_content(settlements[0], error)
                return
            half = len(settlements) // 2
            self._settle_apart(settlements[:half])
            self._settle_apart(settlements[half:])
        else:
            self._note_written(settlements, refused, 0)

    def _settle_without_content(self, settlement: Settlement, why: EngineError) -> None:
        instead = [verdicts.unwritable(settlement, why)]
        try:
            refused = self._engine.settle_many(instead)
        except EngineError as error:
            if not may_be_for_its_content(error):
                raise
            self._backoff.failed(error)
            self._in_flight.set_aside()
        else:
            self._note_written(instead, refused, 0)
            if settlement.verdict is Verdict.COMPLETE and not refused:
                self._counts.emit_unwritable(instead[0], why)

    def _note_written(
        self, settlements: Sequence[Settlement], refused: frozenset[tuple[int, int]], leases: int
    ) -> None:
        self._counts.note_written(settlements, refused)
        self._in_flight.written(len(settlements), leases)

    def _reconcile(self, number: int) -> None:
        found = self._engine.reconcile(number, self._in_flight.claims())
        self._reconcile_at = monotonic() + RECONCILE_EVERY
        self._counts.note_written(self._in_flight.were_written(found.settled), frozenset())
        if found.lost and (jobs := self._in_flight.lose(found.lost)):
            self._emitter.report(events.LeaseLost, len(jobs))

    def report(self) -> None:
        """Write, now and then, what jobs say while they run: what they save, and how far they are.

        Raises:
            EngineError: the engine could not; it is due again later.
        """
        self.reports.write_due(self._number())

    def deregister(self) -> None:
        """The worker has stopped."""
        if self._in_flight.pending or self._in_flight.unwritten:
            return  # it holds something still: its lease runs out on its own
        number = self._number()
        try:
            self._engine.claim(number, (), 0, (), self._in_flight.done)
            self._engine.leave(number)
        except RETRYABLE:
            return  # likewise


def _first_of(pending: Sequence[Settlement]) -> Sequence[Settlement]:
    """As many of them as one call may write."""
    left = LARGEST_CALL
    for count, settlement in enumerate(pending):
        left -= len(settlement.result or b"")
        if left < 0 and count:
            return pending[:count]
    return pending[:]
