"""A job on the thread that submits it, since the queue is full."""

from __future__ import annotations

import threading

from steadypool.model.states import PoolState
from steadypool.pools.core.shared import Job
from steadypool.pools.threads.hands import HandWorkers
from steadypool.pools.threads.worker import JobRunner, here
from steadypool.primitives.job_context import set_finder


class CallerRuns:
    """Runs jobs beyond the workers of one pool."""

    def __init__(self, workers: HandWorkers) -> None:
        self._workers = workers

    def run(self, job: Job) -> None:
        """Run a job on the calling thread, with time limits, books and all, as ``on_full="caller_runs"`` has it."""
        core = self._workers.core
        worker = JobRunner(core, f"{threading.current_thread().name} (caller)")
        with core.lock:
            if core.state is PoolState.CLOSED:
                core.admission.withdraw(job)
                raise core.closed_error()
            self._workers.callers.add(worker)
        before, find_before = getattr(here, "worker", None), set_finder(worker.context)
        here.worker = worker
        try:
            worker.run(job)
        finally:
            here.worker = before
            set_finder(find_before)
            with core.lock:
                self._workers.take_off(worker)
                self._workers.stuck.pop(worker, None)
                self._workers.recount()
            if core.state is not PoolState.OPEN:
                core.bell.ring()
        cause = job._exception.__cause__ if job._exception is not None else None
        if isinstance(cause, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            job._look()  # its error has reached its caller
            raise cause  # the job is settled; but Ctrl-C was meant for the program
