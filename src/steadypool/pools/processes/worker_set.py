"""The worker processes of a pool: how they start, get ready, and are retired or killed."""

from __future__ import annotations

import threading
from functools import partial
from multiprocessing.context import BaseContext

from steadypool.model.clock import monotonic
from steadypool.model.errors import WorkerCrashed
from steadypool.model.lazy_module import events
from steadypool.model.states import PoolState
from steadypool.pools.processes import import_guard
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.exceptions import unpack_error
from steadypool.pools.processes.ipc.wire import (
    BROKEN,
    READY,
    RETIRING,
    UNFIT,
)
from steadypool.pools.processes.listener import Listener
from steadypool.pools.processes.preparation import Preparation
from steadypool.pools.processes.start_failures import as_refusal, check_descriptors, close_lost_pipes, other_context
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_args import WorkerOptions
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.rules.respawn import restart_delay

RESIZE_AFTER = 0.02
"""Seconds until workers too many leave: starting one is dear, and the next resize may want it again."""
UNGUARDED = (
    ' (workers import the main module: what starts a pool must stand under `if __name__ == "__main__":` there, or in a '
    "function, and not in the body of a module that it imports, or else each worker begins to start workers of its own)"
)


class WorkerSet:
    """Has as many workers as there is work for, up to the limit."""

    def __init__(
        self,
        fleet: Fleet,
        listener: Listener,
        stealer: Stealer,
        preparation: Preparation,
        context: BaseContext,
        options: WorkerOptions,
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self.listener = listener
        self._stealer = stealer
        self._preparation = preparation
        self.restarts = 0
        self.vacated: list[int] = []
        """Places whose workers died and that no other has yet: how many each has lost."""
        self._context = context
        self._options = options
        self.starter = CallbackThread(f"{self._core.name}-starter", lambda: None)
        self.spawning = threading.RLock()
        self._early_deaths = 0
        self._once_ready = False
        self._held_for: float | None = 0.0
        self._is_default = options.default_context
        self._resize_planned = False
        self._numbers = iter(range(1 << 62))

    def new_worker(self) -> ProcessWorker | None:
        worker: ProcessWorker | None = None
        try:
            with self._core.lock:
                if not self._fleet.may_grow:
                    return None
                self._core.workers.supervision.need_supervisor()
                try:
                    worker = ProcessWorker(f"{self._core.name}_{next(self._numbers)}", self._fleet.packets)
                except OSError as error:
                    self.try_later(error)
                    return None
                worker.refused = import_guard.refusal() or self._refusal_of_initializer()
                worker.restarts = self.vacated.pop() if self.vacated else 0
                self._fleet.workers.add(worker)
                self._fleet.recount()
            self._have_started(worker)
        except BaseException:  # Ctrl-C: the supervisor starts it
            with self._core.lock:
                self._fleet.recount()
                if worker in self._fleet.workers:
                    self._fleet.plan(0.0, self._have_started, worker)
            raise
        return worker

    def _refusal_of_initializer(self) -> RuntimeError | None:
        initializer = self._options.initializer
        if initializer is None or self._context.get_start_method() == "fork":
            return None
        return import_guard.refusal_of(initializer.fn, initializer.args)

    def _have_started(self, worker: ProcessWorker) -> None:
        self.starter.run(partial(self._start, worker))

    def _start(self, worker: ProcessWorker) -> None:
        """On the starter thread."""
        with self.spawning:
            if worker.dead or worker.start_began or self.listener.gone.is_set():
                return
            worker.start_began = True
            if worker.refused is not None:
                self._could_not_start(worker, worker.refused)
                return
            try:
                self.listener.watch_results(worker)
                check_descriptors()
                worker.start(self._context, self._core.name, self._options)
                self.listener.watch_death(worker)
            except Exception as error:
                self._could_not_start(worker, error)
                return
        self._fleet.bell.ring()

    def _could_not_start(self, worker: ProcessWorker, error: Exception) -> None:
        close_lost_pipes(error)
        worker.refusal = as_refusal(error)
        if worker.refusal is None:
            # An initializer that cannot be pickled, say, or this process is a worker that imports something.
            self.broke(error, "no worker could be started")
        elif self._is_default and (other := other_context(self._context, error)) is not None:
            self._context = other
        if worker.started:
            worker.kill()  # it cannot be watched
        with self._core.lock:
            self._core.timers.add(monotonic(), self.listener.died, worker)
        self._fleet.bell.ring()

    def initializer_failed(self, worker: ProcessWorker, packed: bytes) -> None:
        """In the first worker, that breaks the pool. Later it is tried again, for ever if other workers live."""
        with self._core.lock:
            worker.broken = True
            delay = self.try_later(None) if self._once_ready else None
        load = partial(self._note_initializer, worker, packed, delay is None)
        self._core.user_calls.send(self._preparation.loader, load, "loading what an initializer raised")

    def _note_initializer(self, worker: ProcessWorker, packed: bytes, breaks: bool) -> None:
        """On the loader's thread."""
        error = unpack_error(packed)
        if breaks:
            self.broke(error)
        else:
            self._core.ledger.add(worker.name, "initializer", error, describe=self._core.user_calls.describe)

    def try_later(self, why: BaseException | None) -> float | None:
        """Another worker is not to be had now: try again after a while, or never (``None``) if that has lasted.

        The lock is held.
        """
        if self._fleet.holding:
            return self._held_for  # many that were started together have failed together: that counts once
        self._early_deaths += 1
        # One that has only just started may die in the same way; but it has been granted by the system.
        was_refused = why is not None and not isinstance(why, WorkerCrashed)
        others = [worker for worker in self._fleet.workers if not worker.dead and not worker.left]
        lives = any(worker.ready or (was_refused and worker.started) for worker in others)
        delay = restart_delay(self._early_deaths, others_live=lives, once_ready=self._once_ready)
        if isinstance(why, WorkerCrashed) and why.exitcode == import_guard.UNGUARDED_EXIT and not self._once_ready:
            delay = None  # the main module will start a pool each time that it is imported
        self._fleet.holding, self._held_for = True, delay
        if delay is None:
            if why is None:
                return None
            self._core.timers.add(monotonic(), self._give_up_on_workers, why)
        else:
            self._core.timers.add(monotonic() + delay, self._stop_holding)
        self._fleet.recount()
        self._fleet.bell.ring()
        return delay

    def _give_up_on_workers(self, why: BaseException) -> None:
        if isinstance(why, WorkerCrashed):
            self.broke(why, f"its workers died before they were ready{_hint(why)}")
        else:
            self.broke(why, "no worker process could be started")

    def worker_is_ready(self, worker: ProcessWorker, thread_ident: int) -> None:
        worker.wait_until_known()  # or a job's result could be out before the pid of its worker
        worker.thread_ident = thread_ident
        worker.ready = self._once_ready = True
        self._early_deaths = 0
        if self._core.emitter.sinks:
            self._core.emitter.emit(events.WorkerStarted(self._core.name, monotonic(), worker.name))
        for job in worker.running():
            job._began = monotonic()

    def retire(self, worker: ProcessWorker, reason: str) -> None:
        """The worker takes no more: what lies in its socket goes to others, and it leaves."""
        with self._core.lock:
            if worker.retiring:
                return
            worker.retiring = True
            self._fleet.recount()
        self._stealer.take_back(worker)
        self._stealer.withhold(worker)
        worker.end_line()
        self._fleet.full = False
        if len(self._core.queue) or (reason == "worn out" and self._core.state is PoolState.OPEN):
            self.new_worker()  # now, not when it is needed: starting takes a while
        self._fleet.pump()

    def resize(self, max_workers: int) -> None:
        """See `ProcessPool.resize`."""
        with self._core.lock:
            self._core.set_max_workers(max_workers)
            self._fleet.recount()
        if self._core.emitter.sinks:
            self._core.emitter.emit(events.CapacityChanged(self._core.name, monotonic(), max_workers, max_workers))
        with self._core.lock:
            if not self._resize_planned:
                self._resize_planned = True
                self._core.timers.add(monotonic() + RESIZE_AFTER, self._resized)
        self._fleet.full = False
        self._core.workers.supervision.supervise()
        self._fleet.pump()
        self._fleet.bell.ring()

    def _resized(self) -> None:
        self._resize_planned = False
        for worker in self._fleet.available:
            # Only what lies behind a job that has begun: or resizes in a row could keep any job from ever beginning.
            first = worker.first()
            if len(self._fleet.available) > self._core.max_workers and first is not None and worker.has_started(first):
                self._stealer.take_back(worker)
                self._stealer.withhold(worker)
            self._leave_if_surplus(worker)
        self._fleet.look_again()
        self._stealer.steal_for_idle()

    def kill(self, worker: ProcessWorker) -> None:
        with self._core.lock:
            worker.left = worker.retiring = True
            self._fleet.recount()
        self._stealer.take_back(worker)
        worker.kill()
        self._fleet.look_again()

    def _stop_holding(self) -> None:
        with self._core.lock:
            self._fleet.holding = False
            self._fleet.recount()
        self._fleet.look_again()
        self._stealer.steal_for_idle()  # what lies behind the jobs of the workers that live

    def broke(self, error: BaseException, how: str = "the initializer failed") -> None:
        self._core.broke(error, how)
        with self._core.lock:
            self._fleet.recount()

    def word_came(self, worker: ProcessWorker, status: int, payload: bytes) -> None:
        """What a worker has to say of itself."""
        if status == READY:
            self.worker_is_ready(worker, int(payload))
        elif status == RETIRING:
            self.retire(worker, "worn out")
        elif status == BROKEN:
            self.initializer_failed(worker, payload)
        elif status == UNFIT:
            worker.unfit = payload.decode()

    def has_room(self, worker: ProcessWorker) -> None:
        worker.socket_full = False
        self._fleet.full = False
        self._leave_if_surplus(worker)
        if len(self._core.queue):
            self._fleet.pump()
        if not len(self._core.queue):
            self._stealer.steal_for_idle()
        else:
            self._stealer.requeue_overdue()
        if self._core.state is not PoolState.OPEN:
            self._fleet.bell.ring()

    def _leave_if_surplus(self, worker: ProcessWorker) -> None:
        """After a resize there may be too many workers: the first idle ones leave. Until then no worker gets jobs."""
        if len(self._fleet.available) > self._core.max_workers and not worker.hand and worker.taken is None:
            self.retire(worker, "resized")


def _hint(error: WorkerCrashed) -> str:
    """What is likely behind workers that end before they are ready."""
    if error.exitcode == import_guard.UNGUARDED_EXIT:
        return UNGUARDED
    return ": an exception ended them, with a traceback on their stderr" if error.exitcode == 1 else ""
