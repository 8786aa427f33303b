"""How jobs are stopped: cancels, time limits, and the grace that each leaves them.

A stop has two steps. First the attempt is asked to stop (`Termination.tell`, and ``_told`` of its job), as its kind of
worker does it (`Workers.stop_attempt`). When the grace is over, `Termination.give_up_job` settles the job, if that is
not done, and has the worker left behind or killed (`Workers.give_up_on`).

`pools.core.supervisor` finds the attempts whose ``timeout`` has passed and calls `Termination.attempt_time_is_up`. A
``total_timeout`` is a timer of its own. Unless a retry is left, a job is settled at its limit, before the grace.
"""

from __future__ import annotations

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome
from steadypool.pools.core.emitter import Emitter, job_facts
from steadypool.pools.core.job_errors import cancelled_error, timeout_error
from steadypool.pools.core.retries import Retries
from steadypool.pools.core.settlement import OUTCOME_WHEN_TOLD, Settlement
from steadypool.pools.core.shared import Job, Shared
from steadypool.pools.core.user_calls import UserCalls
from steadypool.pools.core.workers import Workers
from steadypool.primitives.timers import NEVER_DUE
from steadypool.rules.retry import delay_after


class Termination:
    """Stops the jobs of one pool."""

    def __init__(
        self,
        shared: Shared,
        settlement: Settlement,
        emitter: Emitter,
        user_calls: UserCalls,
        retries: Retries,
        workers: Workers,
    ) -> None:
        self._shared = shared
        self._settlement = settlement
        self._emitter = emitter
        self._user_calls = user_calls
        self._retries = retries
        self._workers = workers

    # -- cancelling

    def cancel(self, job: Job, running: bool, cause: str = "cancelled") -> bool:
        """See `JobFuture.cancel`."""
        told: bool | float = False
        with self._shared.lock:
            # In one piece: a failed attempt goes from its worker to the timers under the same lock.
            taken = self._take_waiting(job)
            if running and not taken:
                told = self._note_told(job, cause, cancelled_error(job, cause))
        if taken:
            self._settlement.settle(job, Outcome.CANCELLED, cancelled_error(job, cause))
            return True
        return self._told(job, cause, told) if running else job.cancelled()

    def _take_waiting(self, job: Job) -> bool:
        return self._shared.queue.remove(job) or self._retries.take(job) or self._workers.sent.reclaim(job)

    def hand_back(self, job: Job) -> bool:
        """Settle a job as returned that has not begun, though the pool stays open; false if it has begun or ended."""
        with self._shared.lock:
            taken = self._take_waiting(job)
        if taken:
            self._settlement.settle(job, Outcome.RETURNED, cancelled_error(job, "returned"))
        return taken

    def tell(self, job: Job, cause: str, error: BaseException) -> bool:
        """Tell a started attempt to stop; *error* is what it counts as unless it returns within the grace.

        So it does to a job between the queue and its worker's hand: the worker looks before it starts the job.
        """
        with self._shared.lock:
            told = self._note_told(job, cause, error)
        return self._told(job, cause, told)

    def _note_told(self, job: Job, cause: str, error: BaseException) -> bool | float:
        """Tell it, and return when its grace ends; false if it has ended, true if it was asked before. Locked."""
        if job.outcome is not None:
            return False
        if job._told is not None:
            return True
        job._pending_error = error
        self._workers.stop_attempt(job, cause)
        now = monotonic()
        ends = now + self._shared.settings.cancel_grace
        self._shared.timers.add(ends, self._grace_is_over, job, job.attempts)
        if self._emitter.sinks:
            event = events.JobStopRequested(self._shared.name, now, *job_facts(job), cause)
            self._emitter.defer_event(job, event)
        return ends

    def _told(self, job: Job, cause: str, ends: bool | float) -> bool:
        if isinstance(ends, bool):
            return ends
        self._workers.supervision.supervise()
        self._shared.wake_before(ends)
        if self._emitter.sinks:
            self._emitter.emit_deferred(job)
        return True

    def _grace_is_over(self, job: Job, attempt: int) -> None:
        if job.attempts == attempt:
            self.give_up_job(job)

    def give_up_job(self, job: Job) -> None:
        """The grace is over: settle the job if that is not done, and part with its worker if it still runs it."""
        if self._workers.sent.retries_once_killed(job):
            return
        worker = job._worker
        if worker is None or not self._workers.still_runs(worker, job):
            return
        taken = self._workers.take_from_worker(job)
        if not taken and job.outcome is None:
            return  # it has just ended on its own
        self._workers.give_up_on(worker, job)
        if taken:
            outcome = OUTCOME_WHEN_TOLD[job._told or ""]
            if outcome is Outcome.INTERRUPTED:
                self._settlement.note_interrupted(job)
            self._settlement.settle(job, outcome, job._pending_error)

    # -- time limits

    def watch_total_time(self, job: Job, seconds: float) -> None:
        """Have the job ended so long after it was submitted."""
        job._total_ends = job._submitted + seconds
        with self._shared.lock:
            job._alarm = self._shared.timers.add(job._total_ends, self._total_time_is_up, job)
        self._shared.wake_before(job._total_ends)

    def _total_time_is_up(self, job: Job) -> None:
        job._alarm = None if job._gated is None else NEVER_DUE
        if self._take_waiting(job):
            self._settlement.settle(job, Outcome.TIMED_OUT, timeout_error(job, "total_timeout", ""))
        elif self._workers.holds(job):
            self.attempt_time_is_up(job, "total_timeout")
        elif job.outcome is None:
            # Between two places for a moment: look again rather than lose the limit.
            with self._shared.lock:
                job._alarm = self._shared.timers.add(monotonic() + 0.001, self._total_time_is_up, job)

    def attempt_time_is_up(self, job: Job, limit: str = "timeout") -> None:
        """The running attempt has reached its limit: tell it, take its stack, settle unless a retry is left."""
        stack, where = self._workers.stack_of(job._worker, job)
        self._workers.sent.hear_all()  # it may have ended meanwhile
        error = timeout_error(job, limit, stack)
        error.steadypool_where = where  # type: ignore[attr-defined]
        goes_on = limit == "timeout" and self.may_retry(job, error)
        with self._shared.lock:
            if not self._workers.holds(job):
                return  # it has just ended on its own: what follows is not this attempt
            if goes_on:
                job._attempt_ends = None
            # Should the job end between these lines by raising, it counts as this, not as its own failure.
            told = self._note_told(job, "timeout", error)
            taken = not goes_on and self._workers.take_from_worker(job)
        if goes_on:
            self._told(job, "timeout", told)
        elif taken:
            self._shared.run_times.add(monotonic() - job._began, task=job._task_name)
            self._settlement.settle(job, Outcome.TIMED_OUT, error)

    def may_retry(self, job: Job, error: BaseException) -> bool:
        """Whether the job could run again after *error*, once its grace is over."""
        if not self._user_calls.is_worth_retrying_now(job, error):
            return False
        now = monotonic() + self._shared.settings.cancel_grace
        return delay_after(job._options.retry, job.attempts, now, job._total_ends, 0.0) is not None
