"""Whether a worker can run what lies in its queue: said before it begins, not by jobs that never run."""

from __future__ import annotations

import logging

from steadypool.cli.exit_codes import UsageError
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import JobFilter, JobRecord
from steadypool.durable.engine.states import WAITING, JobState
from steadypool.durable.worker.log import OURS
from steadypool.model.errors import SteadypoolError
from steadypool.model.printable import printable
from steadypool.rules.near_names import listed, near_name

TIMEOUT = 2.0
"""Seconds that the look may take."""
LOOKED_AT = 100
"""The latest so many jobs that wait are looked at."""


def check_tasks(target: str, queue: Queue) -> None:
    """Warn of jobs of tasks that *queue* does not know, but for those that a worker claims at once: it says so itself.

    Raises:
        UsageError: it knows no task at all.
    """
    records = [record for record in _waiting(queue) if record.task not in queue.tasks]
    strange = {record.task for record in records}
    if not queue.tasks:
        lying = f"; jobs of {printable(listed(strange))} wait there" if strange else ""
        raise UsageError(
            f"{target} has no tasks: importing {target.partition(':')[0]} imports no module that makes one with "
            f"@queue.task{lying}. Name the queue by a module that does, such as app.tasks:queue"
        )
    for task in sorted(strange - {record.task for record in records if record.state is JobState.AVAILABLE}):
        near = near_name(task, queue.tasks)
        logging.getLogger(OURS).warning(
            "jobs of %s wait, a task that this queue does not know; it knows %s%s",
            printable(task),
            printable(listed(queue.tasks)),
            f"; did the caller mean {printable(near)}?" if near else "",
        )


def _waiting(queue: Queue) -> list[JobRecord]:
    engine = open_engine(queue.url)
    engine.timeout = TIMEOUT
    try:
        return engine.list(JobFilter(WAITING, limit=LOOKED_AT))
    except SteadypoolError:
        return []  # the worker says what is the matter, or makes the tables
    finally:
        engine.close()
