"""The rows of reports: of workers, of jobs that run, and of those that did not run to their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import reports
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Args, Job, Kwargs
from steadypool.primitives.arguments import Show, arguments_text, is_quickly_shown, plain_text
from steadypool.primitives.user_call import run_elsewhere

if TYPE_CHECKING:
    from steadypool.model.reports import InterruptedJob, StuckJob, UnfinishedJob, WorkerStats

SHOWING = 0.2
"""Seconds that the arguments of all the jobs in a report may take to be shown."""
NOT_SHOWN = "(<not shown: it would take too long>)"


class Returned(NamedTuple):
    """A job that was given back, with what its row in the report is made of."""

    id: str
    task: str
    args: Args
    kwargs: Kwargs
    waited: float
    meta: Mapping[str, object] | None

    @classmethod
    def of(cls, job: Job) -> Returned:
        """To be asked before the job is settled, since it then forgets what it was made of."""
        return cls(job.job_id, job._task_name, job._args, job._kwargs, job._waited(), job._options.meta)


def unfinished_rows(show: Show, returned: list[Returned]) -> tuple[UnfinishedJob, ...]:
    """The report's rows of the jobs that never started. It takes `SHOWING` at most: a drain must end.

    A ``repr`` is code of the user's, so it is called on a thread of its own, which is left alone if it hangs.
    """
    jobs = list(returned)
    texts: list[str] = []
    until = monotonic() + SHOWING

    def write() -> None:
        for job in jobs:
            if monotonic() >= until:
                return
            texts.append(arguments_text(show, job.task, job.args, job.kwargs))

    if all(is_quickly_shown(show, job.args, job.kwargs) for job in jobs):
        write()
    else:
        try:
            run_elsewhere(write, SHOWING)
        except RuntimeError:
            write()  # from 3.12 on, at interpreter exit: no thread can be started
    shown = [*texts, *[NOT_SHOWN] * len(jobs)]
    return tuple(
        reports.UnfinishedJob(j.id, j.task, text, j.waited, j.meta) for j, text in zip(jobs, shown, strict=False)
    )


def worker_row(
    name: str, job: Job | None, task: str | None, done: int, pid: int | None = None, restarts: int = 0
) -> WorkerStats:
    """What `PoolStats` says of a worker that has ended *done* attempts and runs *job*, if any, of *task*."""
    if job is None:
        return reports.WorkerStats(name, pid, None, None, 0.0, done, restarts)
    task = task or job._task_name
    ran, progress = monotonic() - job._began, getattr(job, "_progress", None)
    return reports.WorkerStats(name, pid, job.job_id, task, ran, done, restarts, progress)


def stuck_row(job: Job, task: str, shown: str, stack: str) -> StuckJob:
    """What reports say of a job that runs; *shown* are its arguments."""
    ran = monotonic() - job._began
    return reports.StuckJob(job.job_id, task, ran, stack, job._told or "", job._options.meta, shown)


def interrupted_row(settings: Settings, job: Job, ran: float) -> InterruptedJob:
    """The report's row of a job that had started; *ran* is how long its last attempt has, in seconds."""
    shown = plain_text(settings.show_arguments, job._args, job._kwargs)
    return reports.InterruptedJob(job.job_id, job._task_name, job.attempts, ran, job._options.meta, shown)
