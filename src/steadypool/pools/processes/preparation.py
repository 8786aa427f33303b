"""Jobs are pickled: by the thread that submits them, or by one of their own where that must go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident

from steadypool.model.states import Outcome, PoolState
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk, Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.pickles import Functions
from steadypool.pools.processes.loader import Load
from steadypool.pools.processes.packets import (
    pack_call,
    pack_meta,
    workers_import_main,
)
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.primitives.callback_thread import CallbackThread


class Preparation:
    """Makes jobs of one pool ready for their way."""

    def __init__(self, fleet: Fleet, places: Places, mark_own_thread: Callable[[], None], to_forks: bool) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self.functions = Functions(workers_import_main())
        self.functions.to_forks = to_forks
        self.loader = CallbackThread(f"{self._core.name}-loader", mark_own_thread)
        """Loads and pickles what may run code of the user's: see `pools.processes.loader`."""
        self._core.user_calls.callback_threads.append(self.loader)

    def prepare(self, job: Job) -> bool:
        """Pickle the job. One that cannot be fails with the pickling error itself."""
        error = self._pack(job)
        if error is not None:
            self._core.settlement.settle(job, Outcome.FAILED, error)
        return error is None

    def _pack(self, job: Job) -> Exception | None:
        try:
            job._packed = pack_call(self.functions, job)
            if job._options.meta and job._packed_meta is None:
                job._packed_meta = pack_meta(job._options.meta)
        except Exception as error:
            return error
        return None

    def is_prepared(self, worker: ProcessWorker, job: Entry) -> bool:
        """Pickle a job that is not, for it was first run in its caller's thread, or was an item of a chunk."""
        if isinstance(job, Chunk) or job._packed is not None:
            return True
        if not self._core.user_calls.is_hurried():
            return self.prepare(job)
        load = Load(self._core, worker.name)
        with self._core.lock:
            load.hold(job)
            self._fleet.callers.add(load)
        self.prepare_elsewhere(load, job)
        return False

    def prepare_elsewhere(self, load: Load, job: Job) -> None:
        """Have a job pickled that is in the hand of *load*, and put into the queue then."""
        self._core.user_calls.send(self.loader, partial(self._pack_again, load, job), f"pickling job {job.job_id}")

    def _pack_again(self, load: Load, job: Job) -> None:
        """On the loader's thread."""
        load.ident = get_ident()
        error = self._pack(job)
        if load.put_down(job):
            if error is None:
                self._places.requeue(job)
            else:
                self._core.settlement.settle(job, Outcome.FAILED, error)
        self.load_is_over(load)
        self._fleet.look_again()

    def load_is_over(self, load: Load) -> None:
        """What *load* held has its outcome, or another place."""
        with self._core.lock:
            self._fleet.callers.discard(load)
            self._fleet.stuck.pop(load, None)
        if self._core.state is not PoolState.OPEN:
            self._fleet.bell.ring()
