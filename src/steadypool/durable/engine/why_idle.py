"""Why nothing happens to a job, or in a queue: said in one place, for the command line and the dashboard.

A reason is a sentence. `why_waits` says what a record knows itself, `Surroundings.why_idle` what it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import BEHIND, SET_ASIDE, JobRecord, QueueStats, WorkerRow
from steadypool.durable.engine.states import WAITING, JobState
from steadypool.model.queue_depth import QueueDepth

MOST_QUEUES = 100
"""Of which is looked up whether they are paused."""


def why_waits(record: JobRecord) -> Iterator[str]:
    """Why a job does not run now, as far as its record says."""
    if record.state not in WAITING:
        return
    if record.reason == SET_ASIDE:
        yield "No worker so far has known its task. The first that does runs it."
    elif record.reason == BEHIND:
        yield "The job that has its unique key has not ended."
    elif record.reason:
        yield record.reason
    if record.held_by:
        yield f"Held back by {record.held_by}."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the jobs of some records depend on, read once for all of them."""

    workers: tuple[WorkerRow, ...]
    paused: frozenset[str]
    """Queues."""
    unknown: frozenset[str]
    """Tasks that no live worker knows."""

    @staticmethod
    def of(engine: Engine, records: Sequence[JobRecord]) -> Surroundings:
        """Look.

        Raises:
            EngineError, SchemaMismatch: the store could not be read.
        """
        waiting = [record for record in records if record.state in WAITING]
        queues = list(dict.fromkeys(record.queue for record in waiting))[:MOST_QUEUES]
        tasks = dict.fromkeys(record.task for record in waiting)
        return Surroundings(
            engine.workers() if waiting or any(record.state is JobState.RUNNING for record in records) else (),
            frozenset(depth.name for depth in engine.depths(queues, 1) if depth.paused) if queues else frozenset(),
            engine.unknown_tasks(tasks) if tasks else frozenset(),
        )

    def why_idle(self, record: JobRecord) -> Iterator[str]:
        """In sentences: the queue of a waiting job is paused, no worker is at work, serves that queue or knows the
        task; or the worker of a running job is gone."""
        if record.state in WAITING:
            is_paused = record.queue in self.paused
            if is_paused:
                yield f"Its queue, {record.queue}, is paused."
            if not any(worker.alive for worker in self.workers):
                yield "No worker is at work."
            elif not is_paused and not is_served(record.queue, self.workers):
                yield f"No worker serves queue {record.queue}."
            if record.task in self.unknown and record.reason != SET_ASIDE:
                yield f"No worker at work knows task {record.task}."
        elif record.state is JobState.RUNNING:
            leases = [worker.alive for worker in self.workers if worker.name == record.worker]
            if leases and not any(leases):
                yield (
                    f"Lease over: its worker, {record.worker}, is gone or cut off. The next worker at work runs it "
                    "again."
                )


def why_idle(engine: Engine, record: JobRecord) -> Iterator[str]:
    """What `Surroundings` says of one job. Raises as that does."""
    return Surroundings.of(engine, [record]).why_idle(record)


def is_served(queue: str, workers: Iterable[WorkerRow]) -> bool:
    """Whether a live worker claims from the queue. One that has not said from which may do so."""
    return any(worker.alive and (worker.queues is None or queue in worker.queues) for worker in workers)


def unserved(queues: Iterable[QueueStats | QueueDepth], workers: Sequence[WorkerRow]) -> list[str]:
    """The names of those with jobs that may run, but for paused ones, from which no live worker claims."""
    return [
        queue.name for queue in queues if queue.available and not queue.paused and not is_served(queue.name, workers)
    ]
