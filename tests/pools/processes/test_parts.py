"""What a process has not begun of a job can be taken from it."""

from __future__ import annotations

import time

from steadypool import ProcessPool, current_job
from steadypool.pools.processes import parts
from tests.pools.contract.stage import WAIT

TIMES = 100


def run_parts() -> int:
    """How many parts it has begun when the others are withheld."""
    job, begun = current_job(), 0
    while parts.begins(job, begun):
        begun += 1
    return begun


def test_no_part_begins_that_was_withheld() -> None:
    with ProcessPool(1) as pool:
        for _ in range(TIMES):
            job = pool.submit(run_parts)
            while (begun := parts.withhold(job)) is None:
                assert job.outcome is None
                time.sleep(0)
            assert job.result(WAIT) <= begun


def test_no_part_is_withheld_of_a_job_that_does_not_run() -> None:
    with ProcessPool(1) as pool:
        job = pool.submit(int)
        assert job.result(WAIT) == 0
        assert parts.withhold(job) is None
