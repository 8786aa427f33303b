"""A shutdown that hands back what waits, while the workers of an idle pool leave already."""

from __future__ import annotations

from steadypool import ProcessPool
from steadypool.pools.processes.core import ProcessCore
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT


def test_what_waits_is_asked_of_workers_that_have_left() -> None:
    pool = ProcessPool(2)
    pool.submit(jobs.nothing).result(WAIT)
    core = pool._core
    assert isinstance(core, ProcessCore)
    workers = list(core.workers)
    pool.drain(WAIT)
    core.workers.update(workers)  # as a caller has seen them who was held up from there on
    core.reclaim_waiting()
    core.workers.clear()
