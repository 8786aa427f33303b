"""Jobs that are made of parts: what a worker has not begun of one can be taken from it while a part of it runs on.

It goes as in `pools.processes.steal`. The worker writes into its page which part it begins, and then reads there
whether the job's further parts are withheld. We write that they are, and `VISIBLE_SECONDS` later read which one has
begun. Each writes first and reads afterwards, so that at least one sees what the other wrote.
"""

from __future__ import annotations

from steadypool.model.clock import sleep
from steadypool.pools.core.shared import Job
from steadypool.primitives.job_context import JobContext


def begins(job: JobContext, part: int) -> bool:
    """Whether the job's worker process, which calls this, is to run that part, and those behind it."""
    from steadypool.pools.processes.child import ProcessJobContext  # a worker process has it

    assert isinstance(job, ProcessJobContext)
    return not job._worker._is_forked and job._worker.page.begin_part(job._serial, part)


def withhold(job: Job) -> int | None:
    """Withhold the parts that have not begun; returns how many may have. ``None`` if the job runs in no process now."""
    from steadypool.pools.processes.steal import VISIBLE_SECONDS
    from steadypool.pools.processes.worker import ProcessWorker

    worker = job._worker
    if not isinstance(worker, ProcessWorker) or job.outcome is not None:
        return None
    page, serial = worker.page, job._serial
    if page.running() != serial:
        return None
    page.withhold_parts(serial)
    sleep(VISIBLE_SECONDS)
    begun = page.part() + 1
    return begun if page.running() == serial else None
