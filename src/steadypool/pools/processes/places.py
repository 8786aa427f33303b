"""The places of jobs and chunks, and their ways between the queue and the hands of workers.

`Places.requeue` puts a job back into the queue, by priority and age; `Places.unfold` makes jobs of a chunk.
"""

from __future__ import annotations

from concurrent.futures._base import PENDING, RUNNING

from steadypool.model.states import Outcome
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk, Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.worker import ProcessWorker


class Places:
    """Moves jobs and chunks of one pool."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._core = fleet.core

    def take_out(self, worker: ProcessWorker, job: Entry) -> bool:
        """Take what was not begun out of the hand; false if another thread has it."""
        with self._core.lock:
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            job.attempts -= 1
            return True

    def put_back(self, worker: ProcessWorker, job: Entry) -> bool:
        """Put what was not begun from the hand into the queue; false if another thread has it."""
        with self._core.lock:
            mine = self.take_out(worker, job)
            if mine:
                self.requeue(job)
            return mine

    def requeue(self, job: Entry) -> None:
        """Back into the queue, by its age in front; it has not begun."""
        if job._state is RUNNING:
            self._fleet.told_started[job] = job.attempts + 1
        job._state = PENDING
        job._attempt_ends = None
        self._core.queue.put_ranked(job, has_room=False)
        if self._core.broken_by is not None:
            self._fleet.bell.ring()  # no worker will take it: the supervisor fails it

    def take_waiting(self) -> Job | None:
        """See `Workers.take_waiting`: a chunk that waits is unfolded."""
        while isinstance(entry := self._core.queue.take_to_settle(), Chunk):
            self.free_rooms(entry)
            with self._core.lock:
                for job in entry.unfold():
                    self.requeue(job)
        return entry

    def unfold(self, chunk: Entry) -> list[Job]:
        """Make jobs of what has not come back of a chunk, where it is; none if it is between two places."""
        if not isinstance(chunk, Chunk):
            return [chunk]
        with self._core.lock:
            if chunk.jobs is not None:
                return chunk.jobs[:]
            worker = chunk._worker
            if worker is not None and chunk in worker.hand:
                jobs = chunk.unfold()
                at = worker.hand.index(chunk)
                del worker.hand[at]
                for job in reversed(jobs):
                    worker.hand.insert(at, job)
                if at == 0:
                    jobs[0]._state = chunk._state
                return jobs
            if self._core.queue.remove(chunk):
                self.free_rooms(chunk)
                jobs = chunk.unfold()
                for job in jobs:
                    self.requeue(job)
                return jobs
            return []

    def cancel_items(self, chunk: Chunk) -> None:
        """Cancel what has not come back of a chunk that was taken out of its place."""
        for job in chunk.unfold():
            self._core.settlement.settle(job, Outcome.CANCELLED, cancelled_error(job, "cancelled"))

    def free_rooms(self, chunk: Chunk) -> None:
        rooms, chunk.rooms = chunk.rooms, 0
        self._core.queue.give_rooms(rooms)

    def first_unfolded(self, worker: ProcessWorker) -> Job | None:
        """The first job in the worker's hand; a chunk there is unfolded. The lock is held."""
        return self.unfold(worker.hand[0])[0] if worker.hand else None
