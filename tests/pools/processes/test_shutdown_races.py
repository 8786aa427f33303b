"""A shutdown that hands back what waits, while the workers of an idle pool leave already."""

from __future__ import annotations

from steadypool import ProcessPool
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT


def test_what_waits_is_asked_of_workers_that_have_left() -> None:
    pool = ProcessPool(2)
    pool.submit(jobs.nothing).result(WAIT)
    workers = pool._workers
    before = list(workers.workers)
    pool.drain(WAIT)
    workers.workers.update(before)  # as a caller has seen them who was held up from there on
    workers.sent.reclaim_waiting()
    workers.workers.clear()
