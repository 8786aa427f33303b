"""The workers of a `ThreadPool`: what its core asks of them, and how a stuck one is left behind and replaced.

At the end of a job's grace `pools.core.termination` calls `ThreadWorkers.give_up_on`: the worker leaves the books and
stands in ``stuck``. `rules.capacity` says whether another may live in its place, and `pools.threads.starts` starts it.
When the job ends at last, the worker ends (`ended`).
"""

from __future__ import annotations

import _thread
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import starmap

from steadypool.model.clock import monotonic
from steadypool.model.errors import InternalError
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Args, Job
from steadypool.pools.core.workers import WorkerFacts
from steadypool.pools.threads.hands import HandWorkers
from steadypool.pools.threads.nested_waits import NestedWaits
from steadypool.pools.threads.starts import ThreadStarts
from steadypool.pools.threads.worker import JobRunner, ThreadWorker
from steadypool.primitives.job_queue import ONCE
from steadypool.primitives.wakeup import Bell
from steadypool.rules.capacity import capacity, workers_allowed

_RELEASE = _thread.LockType.release


class ThreadWorkers(HandWorkers):
    """The workers of one `ThreadPool`, and what its core asks of them."""

    kind = "threads"

    def __init__(
        self,
        settings: Settings,
        max_workers: int,
        prefix: str,
        initializer: Callable[..., object] | None,
        initargs: Args,
    ) -> None:
        self._bell = Bell()
        super().__init__(settings, max_workers, self._bell)
        self.workers: set[ThreadWorker] = set()
        self.stuck: dict[ThreadWorker, Job] = {}
        self._prefix = prefix
        self.initializer = initializer
        self.initargs = initargs
        self.parked: list[_thread.LockType] = []
        """The locks on which idle workers sleep."""
        self.threads: set[threading.Thread] = set()
        self.leaving = False
        """Workers look at this before they take a job; true when one of them may have to leave."""
        self._worker_numbers = itertools.count()
        self.waits: NestedWaits = NestedWaits(self)
        self.starts: ThreadStarts = ThreadStarts(self)

    # -- workers come and go

    def allowed(self) -> int:
        """How many workers may live now. The lock is held."""
        return workers_allowed(self.core.max_workers, len(self.stuck), self.waits.lent)

    def recount(self) -> None:
        """Something changed that `allowed` depends on. The lock is held."""
        live, allowed = len(self.workers), self.allowed()
        self.may_grow = live < allowed and not self.starts.on_hold and self.core.state is not PoolState.CLOSED
        expected = any(worker.lent_until_end for worker in self.workers)
        self.leaving = live > allowed or expected or self.core.state is PoolState.CLOSED

    def wake_worker(self) -> None:
        """Have a parked worker look at the queue, or start one."""
        try:
            # One step, also for Ctrl-C: a worker that was taken out of the list and not woken would sleep for ever.
            any(map(_RELEASE, starmap(self.parked.pop, ONCE)))
        except IndexError:
            pass
        else:
            return
        if self.may_grow:
            self.starts.start_one()

    def wake_all_workers(self) -> None:
        """Have every parked worker look at the pool's state."""
        with self.core.lock:
            self.recount()
        for _ in range(len(self.parked)):
            try:
                any(map(_RELEASE, starmap(self.parked.pop, ONCE)))
            except IndexError:
                return

    def new_worker(self) -> ThreadWorker:
        """A worker whose thread was not started yet."""
        return ThreadWorker(self, f"{self._prefix}_{next(self._worker_numbers)}")

    def resize(self, max_workers: int) -> None:
        """See `ThreadPool.resize`."""
        with self.core.lock:
            self.core.set_max_workers(max_workers)
            self.recount()
        self._capacity_changed()

    def _capacity_changed(self) -> None:
        if self.core.emitter.sinks:
            self.core.emitter.emit(
                events.CapacityChanged(self.core.name, monotonic(), self.places(), self.core.max_workers)
            )
        if self.leaving:
            self.wake_all_workers()
        self.starts.catch_up()

    def must_leave(self, worker: ThreadWorker) -> bool:
        """Whether this worker, which holds no job, is to end; if so it is taken off the books."""
        with self.core.lock:
            if worker.lent_until_end:
                self.waits.take_back(worker)
            leave = self.core.state is PoolState.CLOSED or len(self.workers) > self.allowed()
            if leave:
                self.take_off(worker)
            self.recount()
            return leave

    def pass_on(self) -> None:
        """A worker leaves that may have been woken for a job: have another look for it."""
        if len(self.core.queue):
            with suppress(RuntimeError):
                self.wake_worker()
        if self.core.state is not PoolState.OPEN:
            self.core.bell.ring()

    def broke_off(self, worker: ThreadWorker, error: BaseException) -> None:
        """A worker ends by an exception that came from no job: our own fault, or raised in its thread from outside."""
        for job in worker.running():
            if self.take_from_worker(job):
                fault = InternalError(f"the worker of job {job.job_id} ended by {error!r}; please report it")
                fault.__cause__ = error
                self.core.settlement.settle(job, Outcome.FAILED, fault)

    def ended(self, worker: ThreadWorker) -> None:
        """The worker's thread is about to end."""
        with self.core.lock:
            self.take_off(worker)
            was_stuck = self.stuck.pop(worker, None) is not None
            if self.core.state is not PoolState.CLOSED:
                self.threads.discard(worker.thread)
            self.recount()
        if self.core.emitter.sinks:
            reason = "its job ended at last" if was_stuck else "closed or resized"
            self.core.emitter.emit(events.WorkerEnded(self.core.name, monotonic(), worker.name, reason))
        if was_stuck:
            self._capacity_changed()
        self.pass_on()

    # -- what the control plane asks

    def give_up_on(self, worker: ThreadWorker, job: Job) -> None:
        """Leave a worker behind that did not stop in its grace; another takes its place."""
        stack, _ = self.stack_of(worker, job)
        with self.core.lock:
            if worker.taken is not job or worker.left:
                return
            worker.left = True
            self.take_off(worker)
            self.stuck[worker] = job
            self.recount()
            self.core.limits.free(job)
        if self.core.emitter.sinks:
            self.core.emitter.emit(events.JobStuck(self.core.name, monotonic(), *job_facts(job), stack))
            self.core.emitter.emit(events.WorkerAbandoned(self.core.name, monotonic(), worker.name))
        self._capacity_changed()

    def all_idle(self) -> bool:
        """Whether every worker is parked. The lock is held."""
        return len(self.parked) >= len(self.workers) and not self.callers

    def places(self) -> int:
        """How many jobs can run at a time, the stuck workers left out."""
        return capacity(self.core.max_workers, len(self.stuck))

    def worker_facts(self) -> WorkerFacts:
        """What `PoolStats` says of the workers. The lock is held."""
        return {
            "stuck": len(self.stuck),
            "workers": len(self.workers),
            "capacity": self.places(),
            "worker_rows": tuple(worker.row() for worker in sorted(self.workers, key=lambda w: w.name)),
        }

    def after_fork(self) -> None:
        """Also, the jobs at work are the parent's: code of one that goes on here must not settle it."""
        super().after_fork()
        for worker in self.workers:
            worker.taken = next(iter(worker.hand), worker.taken)  # what `current_job` finds
            worker.hand.clear()

    # -- the end

    def take_off(self, worker: JobRunner) -> None:
        """Also, a worker that leaves the pool has no place in it to lend."""
        if isinstance(worker, ThreadWorker):
            self.waits.take_back(worker)
        super().take_off(worker)

    def rest(self, until: float | None) -> None:
        """Sleep until the bell rings."""
        self._bell.wait(until)

    def has_workers(self) -> bool:
        """Whether any worker lives."""
        return bool(self.threads)

    def join(self, until: float | None) -> None:
        """Wait for the workers that are not stuck to end, until *until* at most."""
        with self.core.lock:
            stuck = {worker.thread for worker in self.stuck}
            threads = [thread for thread in self.threads if thread not in stuck]
        for thread in threads:
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(None if until is None else max(0.0, until - monotonic()))
                if thread.is_alive():
                    self.core.note_thread(f"thread {thread.name} has not ended", thread.ident)
        self.supervision.join(until)
