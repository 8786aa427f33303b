"""Why nothing happens to a job, or in a queue: what the records alone do not say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord, QueueStats, WorkerRow
from steadypool.durable.engine.states import WAITING, JobState
from steadypool.model.queue_depth import QueueDepth


def why_idle(engine: Engine, record: JobRecord) -> Iterator[str]:
    """In sentences: the queue of a waiting job is paused, no worker is at work or serves it; or the worker of a running
    job is gone.

    Raises:
        EngineError, SchemaMismatch: the store could not be read.
    """
    if record.state in WAITING:
        is_paused = any(depth.paused for depth in engine.depths([record.queue], 1))
        if is_paused:
            yield f"Its queue, {record.queue}, is paused."
        workers = engine.workers()
        if not any(worker.alive for worker in workers):
            yield "No worker is at work."
        elif not is_paused and not is_served(record.queue, workers):
            yield f"No worker serves queue {record.queue}."
    elif record.state is JobState.RUNNING:
        leases = [worker.alive for worker in engine.workers() if worker.name == record.worker]
        if leases and not any(leases):
            yield f"Lease over: its worker, {record.worker}, is gone or cut off. The next worker at work runs it again."


def is_served(queue: str, workers: Iterable[WorkerRow]) -> bool:
    """Whether a live worker claims from the queue. One that has not said from which may do so."""
    return any(worker.alive and (worker.queues is None or queue in worker.queues) for worker in workers)


def unserved(queues: Iterable[QueueStats | QueueDepth], workers: Sequence[WorkerRow]) -> list[str]:
    """The names of those with jobs that may run, but for paused ones, from which no live worker claims."""
    return [
        queue.name for queue in queues if queue.available and not queue.paused and not is_served(queue.name, workers)
    ]
