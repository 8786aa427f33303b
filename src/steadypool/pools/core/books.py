"""A pool's books, read out: `PoolStats` and the `DrainReport`."""

from __future__ import annotations

import _thread
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from steadypool.model.clock import monotonic
from steadypool.model.lazy_reports import reports
from steadypool.primitives.arguments import arguments_text, is_quickly_shown, plain_text
from steadypool.primitives.future import JobFuture
from steadypool.rules.forecast import Run, drain_estimate, spread

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport, InterruptedJob, PoolStats, UnfinishedJob
    from steadypool.pools.core.core import Core


SHOWING = 0.2
"""Seconds that the arguments of all the jobs in a report may take to be shown."""
NOT_SHOWN = "(<not shown: it would take too long>)"


class Returned(NamedTuple):
    """A job that was given back, with what its row in the report is made of."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    waited: float
    meta: Mapping[str, Any] | None

    @classmethod
    def of(cls, job: JobFuture[Any]) -> Returned:
        """To be asked before the job is settled, since it then forgets what it was made of."""
        return cls(job.job_id, job._task_name, job._args, job._kwargs, job._waited(), job._options.meta)


def unfinished_rows(core: Core) -> tuple[UnfinishedJob, ...]:
    """The report's rows of the jobs that never started. It takes `SHOWING` at most: a drain must end.

    A ``repr`` is code of the user's, so it is called on a thread of its own, which is left alone if it hangs.
    """
    show, jobs = core.settings.show_arguments, list(core.returned)
    texts: list[str] = []
    until = monotonic() + SHOWING
    written = _thread.allocate_lock()
    written.acquire()

    def write() -> None:
        try:
            for job in jobs:
                if monotonic() >= until:
                    return
                texts.append(arguments_text(show, job.task, job.args, job.kwargs))
        finally:
            written.release()

    if all(is_quickly_shown(show, job.args, job.kwargs) for job in jobs):
        write()
    else:
        try:
            _thread.start_new_thread(write, ())
        except RuntimeError:
            write()  # from 3.12 on, at interpreter exit: no thread can be started
        written.acquire(timeout=SHOWING)
    shown = [*texts, *[NOT_SHOWN] * len(jobs)]
    return tuple(
        reports.UnfinishedJob(j.id, j.task, text, j.waited, j.meta) for j, text in zip(jobs, shown, strict=False)
    )


def interrupted_row(core: Core, job: JobFuture[Any], ran: float) -> InterruptedJob:
    """The report's row of a job that had started; *ran* is how long its last attempt has, in seconds."""
    shown = plain_text(core.settings.show_arguments, job._args, job._kwargs)
    return reports.InterruptedJob(job.job_id, job._task_name, job.attempts, ran, job._options.meta, shown)


def read_stats(core: Core) -> PoolStats:
    """The books now. What is read later can only have grown: outcomes first, accepted last, waiting is the rest."""
    with core.lock:
        outcomes = core.counts.outcomes()
        retrying = core.counts.retrying
        held = core.held_jobs()
        running = core.count_running(held)
        workers = core.worker_facts()
        # Once closed, every job has its outcome: a ticket without one is about to be withdrawn.
        accepted = sum(outcomes.values()) if core.is_closed() else core.counts.accepted()
        waiting = accepted - sum(outcomes.values()) - running - retrying
        means, tasks = core.run_times.means(), spread(_waiting_tasks(core, waiting + retrying), waiting + retrying)
        forecast = drain_estimate(means, tasks, _runs(held), workers["capacity"])
        return reports.PoolStats(
            name=core.name,
            state=core.public_state,
            accepted=accepted,
            waiting=waiting,
            running=running,
            retrying=retrying,
            rejected=core.counts.rejected,
            retries=core.counts.retries,
            max_workers=core.max_workers,
            queue_size=core.settings.queue_size,
            sink_errors=core.emitter.sink_errors,
            oldest_waiting=_oldest_waiting(core) if waiting else 0.0,
            drain_estimate=forecast,
            **{outcome.value: count for outcome, count in outcomes.items()},  # type: ignore[arg-type]
            **workers,
        )


def _waiting_tasks(core: Core, count: int) -> Counter[str]:
    """Of which tasks those are that have still to run. Not asked for before it is of any use."""
    return core.waiting_tasks() if count and core.run_times.mean is not None else Counter()


def _runs(held: list[JobFuture[Any]]) -> list[Run]:
    """The jobs that run: for how long they have, and for how long they still may."""
    now = monotonic()
    ends = [(job._task_name, job._began, job._attempt_ends) for job in held]
    return [Run(task, max(0.0, now - began), None if limit is None else limit - now) for task, began, limit in ends]


def _oldest_waiting(core: Core) -> float:
    return max((monotonic() - submitted for submitted in core.oldest_submits()), default=0.0)


def close_books(core: Core, unfinished: tuple[UnfinishedJob, ...], *, on_time: bool) -> DrainReport:
    """The report of a pool that has just been closed. The lock is held."""
    return reports.DrainReport(
        name=core.name,
        state=core.state,
        elapsed=monotonic() - core.drain_began,
        on_time=on_time,
        stats=read_stats(core),
        unfinished=unfinished,
        interrupted=tuple(core.interrupted),
        stuck=core.stuck_rows(),
        errors=core.ledger.groups(),
    )
