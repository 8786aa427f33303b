"""How worker threads are started: one after the other as they are needed, and again later where the system refuses."""

from __future__ import annotations

from steadypool.model.clock import monotonic
from steadypool.model.states import PoolState
from steadypool.pools.threads.worker import Crew, ThreadWorker
from steadypool.rules.respawn import restart_delay


class ThreadStarts:
    """Starts the workers of one pool."""

    def __init__(self, workers: Crew) -> None:
        self._workers = workers
        self.on_hold = False
        """No thread could be started a moment ago."""
        self._refusals = self._failed_starts = 0
        self._once_ready = False
        """Whether the initializer has ever succeeded."""

    def start_one(self) -> None:
        """Start a worker, if one more may live.

        Raises:
            RuntimeError: no thread can be started, and there is no worker.
        """
        workers, core = self._workers, self._workers.core
        worker: ThreadWorker | None = None
        try:
            with core.lock:
                if len(workers.workers) >= workers.allowed() or core.state is PoolState.CLOSED:
                    workers.may_grow = False
                    return
                worker = workers.new_worker()
                workers.workers.add(worker)
                workers.threads.add(worker.thread)
                workers.recount()
            worker.thread.start()
        except BaseException as error:
            with core.lock:
                if worker is not None and not worker.begun:  # and it will not begin: `begin` looks whether it may
                    workers.workers.discard(worker)
                    workers.threads.discard(worker.thread)
                    workers.recount()
                others = bool(workers.workers) and isinstance(error, RuntimeError)
                if others:  # they will run it
                    self._try_later()
            if not others:
                raise
            self._see_that_it_is_tried()

    def _try_later(self) -> None:
        """The system refuses another thread: try again after a while. The lock is held."""
        workers, core = self._workers, self._workers.core
        if not self.on_hold:
            self.on_hold = True
            self._refusals += 1
            delay = restart_delay(self._refusals, others_live=True)
            assert delay is not None
            core.timers.add(monotonic() + delay, self._try_again)
            workers.recount()

    def initializer_succeeded(self) -> None:
        """In one worker."""
        self._once_ready = True
        self._failed_starts = 0

    def initializer_failed(self, worker: ThreadWorker, error: BaseException) -> None:
        """In the first worker, that breaks the pool. Later it is tried again, for ever if other workers live."""
        workers, core = self._workers, self._workers.core
        with core.lock:
            self._failed_starts += 1
            others = any(other.ready for other in workers.workers if other is not worker)
            delay = (
                restart_delay(self._failed_starts, others_live=others, once_ready=True) if self._once_ready else None
            )
            if delay is not None:
                self.on_hold = True
                core.timers.add(monotonic() + delay, self._try_again)
                workers.recount()
        if delay is None:
            core.broke(error)
        else:
            core.ledger.add(worker.name, "initializer", error, describe=core.user_calls.describe)
            self._see_that_it_is_tried()

    def _see_that_it_is_tried(self) -> None:
        workers, core = self._workers, self._workers.core
        workers.supervision.supervise()
        core.bell.ring()
        if not workers.supervision.is_there:  # there is no thread for that either: the next submit tries
            with core.lock:
                self.on_hold = False
                workers.recount()

    def _try_again(self) -> None:
        workers, core = self._workers, self._workers.core
        with core.lock:
            self.on_hold = False
            workers.recount()
        self.catch_up()

    def begin(self, worker: ThreadWorker) -> bool:
        """Whether the thread that runs now is wanted: it may have been given up, since Ctrl-C came while it started."""
        workers, core = self._workers, self._workers.core
        with core.lock:
            worker.begun = worker in workers.workers
            self._refusals = 0
            return worker.begun

    def catch_up(self) -> None:
        """There may be more workers than before: start some for what waits already."""
        workers, core = self._workers, self._workers.core
        for _ in range(len(core.queue)):
            if workers.parked or not workers.may_grow:
                return
            try:
                self.start_one()
            except RuntimeError:
                return  # the jobs stay in the queue; the next submit tries again
