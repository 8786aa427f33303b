"""A pool that breaks while jobs are on their way into it: each of them has an outcome, and the pool ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from steadypool import PoolBroken, ProcessPool, Retry, task
from tests.pools.contract.stage import WAIT

ROUNDS = 200


class NoProcesses(SpawnContext):
    """Starts none, for a reason that does not go away."""

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]
        raise RuntimeError("no processes here")


@pytest.fixture
def _hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
    gc.collect()  # what is still to be said of jobs whose outcome no test looked at


@pytest.mark.usefixtures("_hasty_switches")
@pytest.mark.parametrize("chunksize", [1, 4])
def test_a_map_into_a_pool_that_breaks_ends(chunksize: int) -> None:
    for _ in range(ROUNDS):
        pool = ProcessPool(2, NoProcesses())
        with pytest.raises(PoolBroken, match="no processes here"):
            list(pool.map(abs, range(8), chunksize=chunksize, timeout=WAIT))
        assert pool.drain(WAIT).on_time


@pytest.mark.usefixtures("_hasty_switches")
def test_jobs_with_retries_in_a_pool_that_breaks_end() -> None:
    patient = task(abs, retry=Retry(3, backoff=0.001))
    for _ in range(ROUNDS):
        pool = ProcessPool(2, NoProcesses())
        futures = []
        with pytest.raises(PoolBroken):
            for number in range(100_000):
                futures.append(pool.submit(patient, number))
        assert all(isinstance(future.exception(WAIT), PoolBroken) for future in futures)
        assert pool.drain(WAIT).on_time
