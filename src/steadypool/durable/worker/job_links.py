"""What a running job can ask its queue about itself: `current_job().inputs`. Where the job runs, when it asks."""

from __future__ import annotations

import msgspec

from steadypool.durable.client import nested_waits
from steadypool.durable.client.batch import Batch
from steadypool.durable.client.job_summary import JobSummary, summary_of
from steadypool.durable.client.open_queues import kept_at
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.batches import batch_before
from steadypool.model.errors import SteadypoolError
from steadypool.primitives.job_context import JobContext, current_job, give_links

GAP = "\n"
"""Between the names of the parameters that are filled by a result, and the other arguments. No JSON begins so."""


class DurableLinks:
    """For the jobs of durable workers. It costs a job nothing that does not ask."""

    def inputs(self, job: JobContext) -> list[JobSummary]:
        """See `JobContext.inputs`."""
        found = queue_of_job()
        if found is None:
            return []
        records = found.engine.links.inputs(_number_of(job))
        return [summary_of(record, found.tasks) for record in records]

    def batch(self, job: JobContext) -> Batch | None:
        """See `JobContext.batch`."""
        found = queue_of_job()
        if found is None:
            return None
        number = batch_before(job.id)
        if number is None:
            number = found.engine.batches.of_job(_number_of(job))
        return None if number is None else Batch(found, None, number)


def with_gaps(names: list[str], payload: str) -> str:
    """A payload whose call lacks these arguments."""
    return f"{GAP}{msgspec.json.encode(names).decode()}{GAP}{payload}"


def filled(payload: str) -> str:
    """The payload, with what the job's first input has returned for what it lacks.

    Raises:
        SteadypoolError: there is no such result.
    """
    if not payload.startswith(GAP):
        return payload
    _, names, rest = payload.split(GAP, 2)
    job = current_job()
    queue = queue_of_job()
    inputs = queue.engine.links.inputs(_number_of(job)) if queue is not None else []
    if not inputs or inputs[0].result is None:
        raise SteadypoolError(f"job {job.id} takes the result of the one before it, which left none")
    result = msgspec.Raw(inputs[0].result)
    given = msgspec.json.decode(rest, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**given, **dict.fromkeys(msgspec.json.decode(names), result)}).decode()


def queue_of_job() -> Queue | None:
    """One that is kept where the job is: that of its task, if the process has it; else with tasks."""
    slots = nested_waits.slots_here()
    if slots is None:
        return None
    task = current_job().task
    known = [one for one in kept_at(slots.url) if isinstance(one, Queue)]
    # In a test, one that is kept there for a while: others are not to be opened there.
    own = max(known, key=lambda one: (one._elsewhere is not None, task in one.tasks, len(one.tasks)), default=None)
    return own or _others.setdefault(slots.url, Queue(slots.url))


def _number_of(job: JobContext) -> int:
    return int(str(job.meta["fencing_token"]).partition("-")[0])


_others: dict[str, Queue] = {}
"""Those that no program has made here."""
give_links(DurableLinks())
