"""What the core asks of jobs that were sent to processes: `pools.core.workers.SentJobs`.

At the end of a grace `retries_once_killed` comes first: a job that timed out and has a retry left stays in its worker's
hand while that is killed, and `pools.processes.deaths` finds it there.
"""

from __future__ import annotations

from steadypool.model.states import PoolState
from steadypool.pools.core.shared import Job
from steadypool.pools.core.workers import SentJobs
from steadypool.pools.processes.chunk import Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.listener import Listener
from steadypool.pools.processes.loader import Load
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_set import WorkerSet

_MAY_RETRY = (PoolState.OPEN, PoolState.DRAINING)


class SentToProcesses(SentJobs):
    """The answers for worker processes."""

    def __init__(self, fleet: Fleet, listener: Listener, stealer: Stealer, workers: WorkerSet) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._stealer = stealer
        self._set = workers
        self._listener = listener

    def reclaim(self, job: Job) -> bool:
        """See `Stealer.reclaim`."""
        return self._stealer.reclaim(job)

    def reclaim_waiting(self) -> None:
        """See `Stealer.reclaim_waiting`."""
        self._stealer.reclaim_waiting()

    def hear_all(self) -> None:
        """See `Listener.hear_all`."""
        self._listener.hear_all()

    def retries_once_killed(self, job: Job) -> bool:
        """Kill the worker of a job that has a retry left, and did not heed its time limit: its death is the failure."""
        worker, error = job._worker, job._pending_error
        if not isinstance(worker, ProcessWorker) or job._told != "timeout" or self._core.state not in _MAY_RETRY:
            return False
        with self._core.lock:
            again = worker.running() == (job,) and error is not None and self._core.termination.may_retry(job, error)
        if again:
            self._set.kill(worker)  # the job stays in its hand, and is blamed for the death
        return again

    def has_begun(self, job: Job) -> bool:
        """See `primitives.future.Owner`: a job that was sent to a process may be taken back until it is read."""
        with self._core.lock:
            worker = job._worker
            return not isinstance(worker, ProcessWorker) or job not in worker.hand or worker.has_read(job)

    def count_running(self, held: list[Job]) -> int:
        """See `SentJobs`: a job whose result is being loaded has left its worker."""
        return sum(not isinstance(job._worker, Load) for job in held)

    def sent_jobs(self) -> list[Entry]:
        """See `SentJobs`."""
        return [entry for worker in self._fleet.workers for entry in [*worker.hand][worker.taken is None :]]

    def jobs_in(self, entry: Entry) -> int:
        """See `SentJobs`: a chunk counts as its items."""
        return entry._size
