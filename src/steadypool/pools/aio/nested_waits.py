"""A job that waits for a job of its own pool lends its place to another while it waits.

Otherwise a pool whose every job waits for one that has no place could never go on. How much can be lent is a rule
(`rules.capacity`); where even that is not enough, the job gets an error instead of waiting for ever.
"""

from __future__ import annotations

import asyncio

from steadypool.model.errors import WouldDeadlock
from steadypool.pools.aio.attempts import Attempt, Attempts, Job
from steadypool.pools.aio.future import AsyncJob
from steadypool.primitives.job_context import running_task
from steadypool.primitives.wait_circle import closes_circle
from steadypool.rules.capacity import lent_limit


class AsyncWaits:
    """Waits of jobs that run on the loop. See `pools.core.workers.Waits`."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def is_own_thread(self) -> bool:
        """Whether the calling code runs in a job of this pool."""
        return self._own_attempt() is not None

    def begin_wait(self, job: Job) -> Attempt | None:
        """See `primitives.future.Owner`."""
        attempt = self._own_attempt()
        return None if attempt is None else _begin(self._attempts, attempt, job)

    def end_wait(self, waiting: object) -> None:
        """See `primitives.future.Owner`."""
        if isinstance(waiting, Attempt):
            _end(self._attempts, waiting)

    def expect_wait(self) -> None:
        """See `primitives.future.Owner`."""
        attempt = self._own_attempt()
        if attempt is not None and not attempt.waits:
            _begin(self._attempts, attempt, None)

    def _own_attempt(self) -> Attempt | None:
        """The attempt of this pool in whose task, or a task of whose, the calling code runs."""
        attempt = running_task.get()
        if isinstance(attempt, Attempt) and attempt.workers.core is self._attempts.core and attempt.job is not None:
            return attempt
        return None


def _begin(workers: Attempts, attempt: Attempt, job: AsyncJob | None) -> Attempt:
    """*attempt* is about to wait for *job*, or, if that is ``None``, for some jobs of its pool, until it ends.

    Raises:
        WouldDeadlock: that wait could never end.
    """
    in_main_task = attempt.task is None or attempt.task is asyncio.current_task()
    if in_main_task and closes_circle(attempt, job, workers.running.get):
        raise WouldDeadlock(f"job {job.job_id} would wait for itself, through the jobs it waits for")  # type: ignore[union-attr]
    attempt.waits += 1
    attempt.is_simple = False
    if in_main_task:
        attempt.waiting_for = job
    if attempt.waits == 1:
        workers.lent += 1
        workers.recount()
        workers.fill()
        if _nobody_is_left(workers):
            _end(workers, attempt)
            raise WouldDeadlock(
                f"all {len(workers.running)} running jobs of pool {workers.name!r}, "
                f"{lent_limit(workers.core.max_workers)} beyond max_workers included, wait for jobs of the same pool: "
                "no worker is left to run them. "
                "Submit them to another pool, or wait for them outside of the job."
            )
    return attempt


def _end(workers: Attempts, attempt: Attempt) -> None:
    """One of its waits is over. There may be more jobs running than places now, until one ends."""
    if not attempt.waits:
        return  # the job has ended before a task that it left behind
    attempt.waits -= 1
    attempt.waiting_for = None
    if not attempt.waits:
        workers.lent -= 1
        workers.recount()


def _nobody_is_left(workers: Attempts) -> bool:
    return not workers.has_vacancy() and all(attempt.waits for attempt in workers.running.values())
