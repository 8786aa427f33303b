"""How a job is taken on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from steadypool.model.call_gates import CallGates
from steadypool.model.clock import sleep
from steadypool.model.options import Task, TaskOptions
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.emitter import Emitter
from steadypool.pools.core.functions import check_function, options_within
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.settlement import Settlement
from steadypool.pools.core.shared import Job, Shared
from steadypool.pools.core.termination import Termination
from steadypool.pools.core.workers import Workers

R = TypeVar("R")


def resolve(fn: Callable[..., R], options: TaskOptions) -> tuple[Callable[..., R], TaskOptions]:
    """What to run for *fn*, and its own options over those of the pool.

    Raises:
        TypeError: if *fn* is nothing that a worker can run.
    """
    if type(fn) is Task:
        check_function(fn.fn)
        return fn.fn, fn.merged(options)
    check_function(fn)
    carried = options_within(fn)
    return fn, options if carried is None else carried.over(options)


class Admission:
    """Takes jobs into one pool."""

    def __init__(
        self,
        shared: Shared,
        counts: Counts,
        emitter: Emitter,
        settlement: Settlement,
        termination: Termination,
        workers: Workers,
    ) -> None:
        self._shared = shared
        self._counts = counts
        self._emitter = emitter
        self._settlement = settlement
        self._termination = termination
        self._workers = workers

    def enter(self, job: Job, *, has_room: bool = True) -> Job:
        """Take on a job that is not plain: it has a priority, a time limit, or gets in without room."""
        queue = self._shared.queue
        try:
            self.set_limits(job)
        except RuntimeError:
            if has_room:
                queue.give_room()
            raise
        if job._options.gates is not None:
            return self._hold(job, job._options.gates, has_room=has_room)
        if has_room and job._options.priority == 0:
            queue.items.append(job)
        else:
            queue.put_ranked(job, has_room=has_room)
        self.wake_worker_for(job)
        self.check_in(job)
        if self._emitter.sinks:
            self._emitter.emit_deferred(job)
        return job

    def _hold(self, job: Job, gates: CallGates, *, has_room: bool) -> Job:
        """Take on a job that a limit may hold back."""
        if not self._settlement.hold(job, gates, has_room=has_room):
            return job
        if len(self._shared.queue):
            self.wake_worker_for(job)
        self.check_in(job)
        if self._emitter.sinks:
            self._emitter.emit_deferred(job)
        self._settlement.settle_dropped()
        return job

    def enter_announced(self, job: Job, *, has_room: bool = True) -> Job:
        """The same, with the event that it was submitted."""
        if self._emitter.sinks:
            self._emitter.defer_submitted(job)
        return self.enter(job, has_room=has_room)

    def wake_worker_for(self, job: Job) -> None:
        """Have a worker take the job that a submit has just put into the queue; if there can be none, take it back.

        Raises:
            RuntimeError, OSError: no worker can be started, and there is none.
        """
        try:
            self._workers.wake_worker()
        except Exception as error:
            self.not_pumped(job, error)

    def not_pumped(self, job: Job, error: Exception) -> None:
        """A new job has reached the queue and not a worker. Take it back, and raise; unless another has taken it."""
        if self._shared.queue.remove(job):
            self.withdraw(job)
            raise error

    def withdraw(self, job: Job) -> None:
        """The job is not taken on after all."""
        self._settlement.drop_alarm(job)
        self._counts.withdraw()

    def set_limits(self, job: Job) -> None:
        """Have the supervisor look after the job's time limits and retries, if it has any.

        Raises:
            RuntimeError: there is none, and no thread for one. The job's ticket was withdrawn.
        """
        total = job._options.total_timeout
        options = job._options
        if not (total is None and options.timeout is None and options.retry is None and options.gates is None):
            try:
                self._workers.supervision.need_supervisor()
            except RuntimeError:
                self._counts.withdraw()
                raise
        if total is not None:
            self._termination.watch_total_time(job, total)

    def discard(self, job: Job) -> None:
        """Settle a job that a newer one has pushed out of the full queue."""
        self._settlement.settle(job, Outcome.CANCELLED, cancelled_error(job, "cancelled"))

    def check_in(self, job: Job) -> None:
        """The last step of a submit: if the pool closed meanwhile, take the job back, if it is still here.

        Raises:
            PoolClosed: the job was not accepted.
        """
        shared = self._shared
        refusal = shared.refusal
        if refusal is None:
            return
        while not shared.queue.remove(job):
            with shared.lock:
                if shared.state is not PoolState.CLOSED or job.outcome is not None:
                    return
            sleep(0)  # a worker has popped it but not yet put it into its hand, and puts it back: the pool is closed
        self.withdraw(job)
        shared.bell.ring()
        raise refusal()
