"""How a job ends, or goes on to its next attempt."""

from __future__ import annotations

import logging
import random
import threading
from functools import partial
from typing import TYPE_CHECKING

from steadypool.model.call_gates import CallGates
from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events, reports
from steadypool.model.states import NEVER_LOOKED_AT, Outcome, PoolState
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.emitter import Emitter, job_facts
from steadypool.pools.core.job_errors import cancelled_error, hint_at_option, presentable
from steadypool.pools.core.report_rows import Returned, interrupted_row
from steadypool.pools.core.retries import Waiting
from steadypool.pools.core.shared import Job, Shared
from steadypool.pools.core.tame_errors import tamed
from steadypool.pools.core.user_calls import UserCalls
from steadypool.pools.core.workers import Workers
from steadypool.primitives.error_ledger import Ledger
from steadypool.rules.retry import delay_after

if TYPE_CHECKING:
    from steadypool.model.reports import InterruptedJob, JobFailure

OUTCOME_WHEN_TOLD = {
    "timeout": Outcome.TIMED_OUT,
    "cancelled": Outcome.CANCELLED,
    "shutdown": Outcome.INTERRUPTED,
    "lease_lost": Outcome.CANCELLED,
}
"""How an attempt ends that was asked to stop and did not return, by the cause of the request."""
_NEVER_STARTED = frozenset({Outcome.CANCELLED, Outcome.RETURNED})
_STOPPED = frozenset({Outcome.CANCELLED, Outcome.INTERRUPTED})


class Settlement:
    """Gives the jobs of one pool their outcomes. Who calls it has taken the job out of its place."""

    def __init__(
        self,
        shared: Shared,
        counts: Counts,
        emitter: Emitter,
        user_calls: UserCalls,
        waiting: Waiting,
        workers: Workers,
    ) -> None:
        self._shared = shared
        self._counts = counts
        self._emitter = emitter
        self._user_calls = user_calls
        self._retries, self._limits = waiting
        self._workers = workers
        self.ledger = Ledger()
        self.being_noted = 0
        """Failures that are counted, and not in the ledger yet."""
        self.returned: list[Returned] = []
        self.interrupted: list[InterruptedJob] = []

    def settle(self, job: Job, outcome: Outcome, error: BaseException | None = None, result: object = None) -> None:
        """Settle a job that the caller has taken out of its place, and count it first."""
        shared = self._shared
        started = job.attempts > 0
        noted = error is not None and outcome in NEVER_LOOKED_AT
        with shared.lock:
            self._counts.ended[outcome] += 1
            self.being_noted += noted
            self.drop_alarm(job)
        failure = None
        try:
            if noted:
                assert error is not None
                try:
                    failure = self._note_failure(job, outcome, error)
                finally:
                    with shared.lock:
                        self.being_noted -= 1
            if self._emitter.sinks:
                self._emitter.emit_end(job, outcome, error)
        except Exception as fault:
            # An exception or an argument with methods that raise where none should: no reason to leave the job hanging.
            self._user_calls.log("pool %r could not report the end of job %s", shared.name, job.job_id, fault=fault)
        made_of = self._user_calls.made_of(job)
        job._settle(outcome, result, error, started=started or outcome not in _NEVER_STARTED)
        self._user_calls.free(job, made_of)
        if failure is not None:
            self._user_calls.deliver(partial(self._say_failure, failure), f"on_error, called for job {job.job_id}")
        if job._callbacks:
            self._user_calls.call_back(job)
        if job._gated is not None:
            self._limits.wake()
        if shared.state is not PoolState.OPEN:
            shared.bell.ring()

    def hold(self, job: Job, gates: CallGates, *, has_room: bool) -> bool:
        """Have a new job wait at its gates. If its arguments give no key it fails, and no other; false then."""
        try:
            self._limits.hold(job, gates, has_room=has_room)
        except Exception as error:
            if has_room:
                self._shared.queue.give_room()
            self.settle(job, Outcome.FAILED, error)
            return False
        return True

    def settle_dropped(self) -> None:
        """End the jobs that a closed gate has dropped. Not under the lock."""
        while (job := self._limits.next_dropped()) is not None:
            reason = "" if job._gated is None else job._gated.reason
            self.settle(job, Outcome.CANCELLED, cancelled_error(job, "cancelled", reason))

    def drop_alarm(self, job: Job) -> None:
        """The job ends: it needs no total time limit any more, and no place in its limits."""
        if job._alarm is not None:
            with self._shared.lock:
                self._shared.timers.drop(job._alarm)
                job._alarm = None
        if job._gated is not None:
            self._limits.attempt_ended(job)

    def _note_failure(self, job: Job, outcome: Outcome, error: BaseException) -> JobFailure | None:
        """Enter it into the ledger; returns it if ``on_error`` wants it."""
        name, arguments = job._task_name, self._user_calls.arguments_of(job)
        key = self.ledger.add(job.job_id, name, error, arguments, job.attempts, self._user_calls.describe)
        if self._shared.settings.on_error is None or (group := self.ledger.group(key)) is None:
            return None
        facts = outcome, error, job.attempts, arguments, job._options.meta, group
        return reports.JobFailure(self._shared.name, job.job_id, name, *facts)

    def _say_failure(self, failure: JobFailure) -> None:
        """Call ``on_error``. As with a callback, what it raises is logged, and ends no thread."""
        on_error = self._shared.settings.on_error
        assert on_error is not None
        try:
            on_error(failure)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            logger = logging.getLogger("steadypool")
            logger.exception("on_error of pool %r raised for job %s", self._shared.name, failure.job_id)

    def attempt_raised(self, job: Job, error: BaseException, outcome: Outcome = Outcome.FAILED) -> None:
        """An attempt ended with *error*; the caller has taken the job out of the worker's hand."""
        error = tamed(error, self._user_calls.text_of)
        pending = job._pending_error
        worth = self._user_calls.is_worth_retrying_now(job, error if pending is None else pending)
        with self._shared.lock:
            # In one piece with a tell: a cancel that comes while the job is between two places must not be lost.
            if job._pending_error is not pending:
                pending, worth = job._pending_error, False
            if pending is not None:
                pending.__cause__ = error
                error, outcome = pending, OUTCOME_WHEN_TOLD[job._told or ""]
            goes_on = worth and outcome not in _STOPPED and self._retry(job, error)
        if not goes_on:
            if outcome is Outcome.INTERRUPTED:
                self.note_interrupted(job)
            hint_at_option(error, job)
            self.settle(job, outcome, presentable(error, job, self._user_calls.describe))
            return
        self._workers.supervision.supervise()
        self._shared.bell.ring()
        if self._emitter.sinks:
            self._emitter.emit_deferred(job)

    def _retry(self, job: Job, error: BaseException) -> bool:
        """Have the job run again, if its `Retry` says so; false if not. The lock is held."""
        if job._options.retry is None or self._shared.state in (PoolState.CANCELLING, PoolState.CLOSED):
            return False
        now = monotonic()
        delay = delay_after(job._options.retry, job.attempts, now, job._total_ends, random.random())
        if delay is None:
            return False
        self._retries.put(job, error, delay)
        if self._emitter.sinks:
            facts = *job_facts(job), error, delay, now - job._began
            self._emitter.defer_event(job, events.JobRetryScheduled(self._shared.name, now, *facts))
        return True

    def note_interrupted(self, job: Job) -> None:
        """Remember the job for the drain report."""
        self.interrupted.append(interrupted_row(self._shared.settings, job, monotonic() - job._began))

    def hand_back(self, job: Job) -> None:
        """Settle a job that will not run (again) because the pool closes."""
        error = cancelled_error(job, "shutdown")
        if job.attempts:
            self.interrupted.append(interrupted_row(self._shared.settings, job, 0.0))
            self.settle(job, Outcome.INTERRUPTED, error)
        else:
            self.returned.append(Returned.of(job))
            self.settle(job, Outcome.RETURNED, error)
