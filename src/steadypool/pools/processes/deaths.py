"""A worker process has died: which job it is blamed on, what becomes of the rest, and which worker replaces it.

The supervisor calls `Deaths.worker_died` when `pools.processes.listener` sees the death, whatever killed the process: a
crash, or `WorkerSet.kill` after a time limit or a cancel. A job that a kill was for is in the hand no more, unless a
retry was left (`pools.processes.sent_jobs`).
"""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.errors import WorkerCrashed
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.oom import oom_kills
from steadypool.pools.processes.ipc.wire import (
    ITEMS_MOST,
    LOADING,
)
from steadypool.pools.processes.orphan_reaper import OrphanReaper
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.results import ResultReader
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_set import WorkerSet


class Deaths:
    """Settles what died with a worker, gives the rest to others, and replaces it."""

    def __init__(
        self,
        fleet: Fleet,
        places: Places,
        stealer: Stealer,
        reader: ResultReader,
        workers: WorkerSet,
        orphans: OrphanReaper,
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._stealer = stealer
        self._reader = reader
        self._set = workers
        self._orphans = orphans
        self._oom_kills = oom_kills()

    def worker_died(self, worker: ProcessWorker) -> None:
        """The process is dead: settle what it is to blame for, and give the rest to others."""
        if worker.dead:
            return
        worker.take_terminal_back()
        for frame in worker.frames.read_rest():
            self._reader.frame_came(worker, *frame)
        self._reader.take_gathered(worker)
        self._set.listener.unwatch(worker.results)
        if worker.started:
            self._set.listener.unwatch(worker.death_watch())
        self._stealer.take_back(worker)
        with self._core.lock:
            worker.dead = True
            # At once: a pump would go on offering it jobs, for ever if its thread holds this lock.
            self._fleet.available = tuple(other for other in self._fleet.available if other is not worker)
            self._places.first_unfolded(worker)
            hand: list[Any] = list(worker.hand)
            worker.hand.clear()
            self._fleet.came_back(worker)
            self._fleet.workers.discard(worker)
            self._fleet.stuck.pop(worker, None)
            blamed = self._blamed(worker, hand)
            for job in hand[len(blamed) :]:
                job.attempts -= 1
                self._places.requeue(job)
        error = self._crash_error(worker) if blamed or not worker.ready else None
        for job in blamed:
            assert error is not None
            self._core.run_times.add(monotonic() - job._began, task=job._task_name)
            self._core.settlement.attempt_raised(
                job, error if len(blamed) == 1 else self._crash_error(worker), Outcome.CRASHED
            )
        if self._core.emitter.sinks:
            reason = "killed" if worker.left else "retired" if worker.retiring else "died"
            self._core.emitter.emit(events.WorkerEnded(self._core.name, monotonic(), worker.name, reason))
        self._replace(worker, error)
        self._orphans.inherit_from(worker)
        if self._core.broken_by is not None:
            self._core.fail_waiting()
        worker.close()

    def _blamed(self, worker: ProcessWorker, hand: list[Job]) -> list[Job]:
        """The job that died with the worker: the one it ran."""
        began = worker.page.running()
        if began % ITEMS_MOST == LOADING:
            # One of the chunk's items killed it by being read, but which? All go back, each for itself.
            began -= ITEMS_MOST
        return [job for job in hand if job._serial <= began]  # serials grow, so these are the first ones

    def _crash_error(self, worker: ProcessWorker) -> WorkerCrashed:
        if worker.refusal is not None:
            error = WorkerCrashed(f"no worker process could be started: {worker.refusal}")
            error.__cause__ = worker.refusal
            return error
        code = worker.exitcode()
        name = None
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
        stack, where = worker.last_stack()
        oom = self._oom_moved() if name == "SIGKILL" else None
        how = f"was killed by {name}" if name else f"ended with exit code {code}" if code is not None else "died"
        why = " (the kernel's out-of-memory counter moved)" if oom else ""
        while_doing = "while it ran this job" if worker.ready else "before it was ready"
        message = f"worker process {worker.pid} {how} {while_doing}{why}{worker.unfit and f': {worker.unfit}'}"
        if stack:
            message += f"\nIt was here:\n{stack.rstrip()}"
        error = WorkerCrashed(message, pid=worker.pid, exitcode=code, signal_name=name, stack=stack, oom=oom)
        error.steadypool_where = where  # type: ignore[attr-defined]
        return error

    def _oom_moved(self) -> bool | None:
        before, self._oom_kills = self._oom_kills, oom_kills()
        return None if before is None or self._oom_kills is None else self._oom_kills > before

    def _replace(self, worker: ProcessWorker, error: WorkerCrashed | None) -> None:
        with self._core.lock:
            if not worker.retiring or worker.left:
                self._set.restarts += 1
                self._set.vacated.append(worker.restarts + 1)
            delay: float | None = 0.0
            if worker.broken:
                error = None  # see `_initializer_failed`
            elif not worker.ready and not worker.retiring and self._fleet.refusal_is_soft() and error is not None:
                delay = self._set.try_later(worker.refusal or error)
            self._fleet.recount()
        if delay == 0.0 and self._core.state is PoolState.OPEN and (worker.left or error is not None):
            # Now, not when it is needed. (Not for one that died idle: that could go on for ever.)
            self._set.new_worker()
        self._fleet.look_again()
        if self._core.state is not PoolState.OPEN:
            self._fleet.bell.ring()
