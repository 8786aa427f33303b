"""One job's events arrive in the order in which they happened, each once."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from steadypool import JobFuture, Retry, current_job, task
from steadypool.model.events import (
    Event,
    JobEnded,
    JobEvent,
    JobRetryScheduled,
    JobStarted,
    JobStopRequested,
    JobStuck,
    JobSubmitted,
)
from tests.patience import WAIT
from tests.races.arena import pool_of

pytestmark = pytest.mark.usefixtures("switching")
JOBS = 500


class Stories:
    """Keeps each job's events in the order of their arrival."""

    def __init__(self) -> None:
        self.of: defaultdict[str, list[JobEvent]] = defaultdict(list)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobEvent):
            with self._lock:
                self.of[event.job_id].append(event)

    def check(self, future: JobFuture[Any]) -> None:
        story = self.of[future.job_id]
        names = [type(event).__name__ for event in story]
        assert isinstance(story[0], JobSubmitted), names
        ends = [event for event in story if isinstance(event, JobEnded)]
        assert len(ends) == 1 and ends[0].outcome is future.outcome, names
        # A job can be asked to stop, and be found stuck, after it has its outcome; it cannot begin again.
        after = story[story.index(ends[0]) + 1 :]
        assert all(isinstance(event, JobStopRequested | JobStuck) for event in after), names
        attempts = [event.attempt for event in story if isinstance(event, JobStarted)]
        assert attempts == list(range(1, future.attempts + 1)), names
        for earlier, later in pairwise(story):
            if isinstance(later, JobStarted):
                # It can be told while it is between the queue and its worker.
                assert isinstance(earlier, JobSubmitted | JobRetryScheduled | JobStopRequested), names


@task(retry=Retry(3, on=OSError, backoff=0.0))
def recover() -> str:
    if current_job().attempt < 3:
        raise OSError("not yet")
    return "done"


def test_retries() -> None:
    stories = Stories()
    with pool_of(3) as pool:
        pool.subscribe(stories)
        futures = [pool.submit(recover) for _ in range(JOBS)]
        for future in futures:
            assert future.result(WAIT) == "done"
    for future in futures:
        stories.check(future)


def test_plain_jobs_and_cancels() -> None:
    stories = Stories()
    with pool_of(2) as pool:
        pool.subscribe(stories)
        futures = [pool.submit(int) for _ in range(2 * JOBS)]
        for future in futures[::2]:
            future.cancel(running=True)
    for future in futures:
        stories.check(future)


def test_time_limits() -> None:
    @task(timeout=0.001)
    def hang() -> None:
        current_job().sleep(WAIT)

    stories = Stories()
    with pool_of(2) as pool:
        pool.subscribe(stories)
        futures = [pool.submit(hang) for _ in range(JOBS // 2)]
        for future in futures:
            future.exception(WAIT)
    for future in futures:
        stories.check(future)
