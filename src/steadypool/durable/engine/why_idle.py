"""Why nothing happens to a job: what its own record does not say."""

from __future__ import annotations

from collections.abc import Iterator

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import WAITING, JobState


def why_idle(engine: Engine, record: JobRecord) -> Iterator[str]:
    """In sentences: the queue of a waiting job is paused, no worker is at work, or that of a running job is gone.

    Raises:
        EngineError, SchemaMismatch: the store could not be read.
    """
    if record.state in WAITING:
        if any(depth.paused for depth in engine.depths([record.queue], 1)):
            yield f"Its queue, {record.queue}, is paused."
        if not any(worker.alive for worker in engine.workers()):
            yield "No worker is at work."
    elif record.state is JobState.RUNNING:
        leases = [worker.alive for worker in engine.workers() if worker.name == record.worker]
        if leases and not any(leases):
            yield f"Lease over: its worker, {record.worker}, is gone or cut off. The next worker at work runs it again."
