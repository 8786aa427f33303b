"""A job that waits for a job of its own pool lends its place to another while it waits.

Otherwise a pool whose every job waits for one that has no place could never go on. How much can be lent is a rule
(`rules.capacity`); where even that is not enough, the job is told instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from steadypool.model.errors import WouldDeadlock
from steadypool.rules.capacity import lent_limit

if TYPE_CHECKING:
    from steadypool.pools.aio.attempt import Attempt
    from steadypool.pools.aio.core import AsyncCore
    from steadypool.pools.aio.future import AsyncJobFuture


def begin(core: AsyncCore, attempt: Attempt, job: AsyncJobFuture[Any] | None) -> Attempt:
    """*attempt* is about to wait for *job*, or, if that is ``None``, for some jobs of its pool, until it ends.

    Raises:
        WouldDeadlock: that wait could never end.
    """
    in_main_task = attempt.task is None or attempt.task is asyncio.current_task()
    if in_main_task and _closes_circle(core, attempt, job):
        raise WouldDeadlock(f"job {job.job_id} would wait for itself, through the jobs it waits for")  # type: ignore[union-attr]
    attempt.waits += 1
    attempt.is_simple = False
    if in_main_task:
        attempt.waiting_for = job
    if attempt.waits == 1:
        core.lent += 1
        core.recount()
        core.fill()
        if _nobody_is_left(core):
            end(core, attempt)
            raise WouldDeadlock(
                f"all {len(core.running)} running jobs of pool {core.name!r}, {lent_limit(core.max_workers)} beyond "
                "max_workers included, wait for jobs of the same pool: nobody is left to run them. "
                "Submit them to another pool, or wait for them outside of the job."
            )
    return attempt


def end(core: AsyncCore, attempt: Attempt) -> None:
    """One of its waits is over. There may be more jobs running than places now, until one ends."""
    if not attempt.waits:
        return  # the job has ended before a task that it left behind
    attempt.waits -= 1
    attempt.waiting_for = None
    if not attempt.waits:
        core.lent -= 1
        core.recount()


def take_back(core: AsyncCore, attempt: Attempt) -> None:
    """The attempt ends, and all its waits with it."""
    attempt.waits = 1
    end(core, attempt)


def _nobody_is_left(core: AsyncCore) -> bool:
    return not core.has_vacancy() and all(attempt.waits for attempt in core.running.values())


def _closes_circle(core: AsyncCore, attempt: Attempt, job: AsyncJobFuture[Any] | None) -> bool:
    """Whether *job* waits, through other jobs, for the job that *attempt* runs."""
    seen: set[int] = set()
    while job is not None and id(job) not in seen:
        seen.add(id(job))
        runner = core.running.get(job)
        if runner is attempt:
            return True
        job = None if runner is None else runner.waiting_for
    return False
