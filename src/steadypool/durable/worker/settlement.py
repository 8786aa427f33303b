"""From jobs that have ended in the pool to what is written down of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.records import Claim, JobKey, Settlement, Verdict
from steadypool.durable.worker import verdicts
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.dispatch import Dispatcher, given_back
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.in_flight import HeldClaim, end_of
from steadypool.durable.worker.job_reports import note_of
from steadypool.durable.worker.pool_adapter import TaskAdapter
from steadypool.durable.worker.saver import HANDED_OVER
from steadypool.durable.worker.verdicts import AttemptEnd
from steadypool.model.error_text import is_quickly_described
from steadypool.model.errors import PoolBroken
from steadypool.model.options import Retry
from steadypool.model.states import NEVER_LOOKED_AT, Outcome
from steadypool.primitives.user_call import Aside
from steadypool.rules.retry import is_quickly_decided


class Settler:
    """Takes what has ended from what is in flight, and leaves there what is to be written. On the worker's loop."""

    def __init__(
        self,
        context: WorkerContext,
        adapters: Mapping[str, TaskAdapter],
        dispatcher: Dispatcher,
    ) -> None:
        self._in_flight = context.in_flight
        self._emitter = context.emitter
        self._counts = context.counts
        self._ran = context.minutes.ran
        self._stop = context.stop
        self._caps = context.settings.caps
        self._give_up = context.settings.given_up_after
        self._engine = context.engine
        self._adapters = adapters
        self._dispatcher = dispatcher
        self._aside = Aside()

    def settle_all(self, ended: Iterable[HeldClaim]) -> None:
        """Settle what has ended."""
        for held in ended:
            self._settle(held)

    def settle_finished(self) -> None:
        """Settle what has ended on its own. What was interrupted waits for the pool's report: it may still run."""
        ended = self._in_flight.take_ended()
        interrupted = [held for held in ended if held.future.outcome is Outcome.INTERRUPTED]
        for held in ended:
            if held.future.outcome is not Outcome.INTERRUPTED:
                self._settle(held)
        self._in_flight.ended.extend(interrupted)

    def settle_remaining(self) -> None:
        """Settle everything, but for jobs whose code still runs in this process: no other worker is to run them before
        that has gone."""
        report = self._counts.pool
        stuck = {row.id for row in report.stuck} if report is not None else set()
        left: list[HeldClaim] = []
        for held in self._in_flight.take_ended():
            if held.claim.id in stuck or (report is None and held.future.outcome is Outcome.INTERRUPTED):
                left.append(held)
            else:
                self._settle(held)
        self._in_flight.ended.extend(left)

    def request_cancels(self, jobs: Sequence[JobKey]) -> None:
        """These are to be cancelled; those that run here are asked to stop."""
        for number, nonce in jobs:
            held = self._in_flight.held.get(number)
            if held is not None and held.claim.nonce == nonce and held.future is not None and not held.wanted_cancelled:
                held.wanted_cancelled = True
                held.future.cancel(running=True)

    def _settle(self, held: HeldClaim) -> None:
        end = end_of(held)
        if end is None:
            self._run_alone(held)
            return
        outcome, error, result = end
        if isinstance(error, PoolBroken):  # it never began
            self._record(held, given_back(held.claim))
            return
        if outcome is Outcome.CANCELLED and not held.wanted_cancelled:
            # Told that its lease is lost; or cancelled by code that got hold of the future: not for us to decide.
            outcome = Outcome.INTERRUPTED
        claim, adapter = held.claim, self._adapters[held.claim.task]
        encoded = None
        if result is not None:
            encoded, seconds = result
            if encoded is None:
                self._come_back(held, seconds)
                return
            adapter.run_time.add(seconds)
            self._ran[claim.task] = self._ran.get(claim.task, 0.0) + seconds
        try:
            texts = None if error is None else self._texts_of(error)
            if outcome is Outcome.FAILED and isinstance(error, verdicts.OF_ANOTHER_VERSION):
                settlement = verdicts.unfit(claim, error, self._unfit_for(claim), self._give_up)
            else:
                retry = adapter.retry_of(claim, error)
                settlement = self._settlement_of(claim, AttemptEnd(outcome, error, encoded), retry)
            if error is not None and texts is not None and outcome in NEVER_LOOKED_AT:
                told = texts[2], texts[1]
                self._counts.ledger.add(claim.id, claim.task, error, describe=lambda _: told)
        except Exception as broken:  # of code of the user's: one job's error is not to end the worker
            settlement, error = verdicts.undecidable(claim, broken), broken
        adapter.unfit = adapter.unfit + 1 if isinstance(error, verdicts.OF_ANOTHER_VERSION) else 0
        if error is not None and not held.lost:
            self._emit(claim, settlement, error)
        self._record(held, settlement)

    def _come_back(self, held: HeldClaim, seconds: float) -> None:
        if seconds == HANDED_OVER:
            self._record(held, given_back(held.claim)._replace(interrupted=True))
            return
        if not held.lost:
            claim = held.claim
            self._emitter.report(events.JobSnoozed, claim.id, claim.task, claim.queue, seconds)
        self._record(held, verdicts.snoozed(held.claim, seconds))

    def _settlement_of(self, claim: Claim, end: AttemptEnd, retry: Retry | None) -> Settlement:
        decide = partial(verdicts.settlement_of, claim, end, retry, self._caps, random.random())
        if end.error is None or retry is None or is_quickly_decided(retry):
            return decide()
        # It names a class that answers by code of its own, which may hang, or want to end the program.
        return self._aside.call(decide, None) or verdicts.undecidable(
            claim, TimeoutError("Retry.on took too long to answer")
        )

    def _unfit_for(self, claim: Claim) -> float | None:
        """Seconds for which the job has not fitted the workers that claimed it; ``None``: this is the first."""
        if claim.token == 1:
            return None
        try:
            record = self._engine.get(claim.id)
            since = None if record is None else verdicts.unfit_since(record.errors)
            return None if since is None else self._engine.now() - since
        except EngineError:
            return 0.0  # it comes again

    def _texts_of(self, error: BaseException) -> verdicts.Texts:
        """What it says of itself. A ``__str__`` that hangs does not hold up the loop."""
        if is_quickly_described(error):
            texts = verdicts.texts_of(error)
        else:
            texts = self._aside.call(partial(verdicts.texts_of, error), verdicts.texts_not_had(error))
        error.__dict__[verdicts.TEXTS] = texts
        return texts

    def _emit(self, claim: Claim, settlement: Settlement, error: BaseException) -> None:
        if settlement.verdict is Verdict.RETURN:
            if isinstance(error, verdicts.OF_ANOTHER_VERSION):
                self._emitter.report(events.ArgumentsUnknown, claim.id, claim.task, error, settlement.delay)
        elif settlement.error is not None:
            self._emitter.emit_failure(claim, settlement, error)

    def _record(self, held: HeldClaim, settlement: Settlement) -> None:
        if settlement.verdict.puts_back and (note := note_of(held)) is not None:
            settlement = settlement._replace(note=note)
        if held.lost:
            self._in_flight.let_go(held)
            self._in_flight.pending.append(settlement)  # the fence will refuse it, unless no other has taken the job
        else:
            self._in_flight.settle(held, settlement)

    def _run_alone(self, held: HeldClaim) -> None:
        """Its bundle has ended without saying how this one did: it may have run, and runs again on its own."""
        claim = held.claim
        if held.wanted_cancelled:
            self._record(held, Settlement(claim, Verdict.CANCEL))
        elif held.lost or self._stop.requests:
            self._record(held, given_back(claim))
        else:
            self._dispatcher.start_alone(held)
