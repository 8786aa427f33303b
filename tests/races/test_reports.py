"""A drain's report has the errors of all jobs that failed, however late the last one did."""

from __future__ import annotations

import sys

from steadypool import ThreadPool
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT

ROUNDS = 500


def test_the_report_has_the_error_of_a_job_that_ends_as_the_drain_begins() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(ROUNDS):
            pool = ThreadPool(1)
            future = pool.submit(jobs.fail)
            report = pool.drain(WAIT)
            assert report.on_time and [group.count for group in report.errors] == [1]
            assert isinstance(future.exception(0), ValueError)
    finally:
        sys.setswitchinterval(before)
