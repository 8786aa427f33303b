"""A job is handed back just as a worker begins it: it runs, or it comes back, and never both."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from pathlib import Path

import pytest

from steadypool import Outcome, ProcessPool, ThreadPool
from steadypool.durable.worker.pool_adapter import Pool
from steadypool.model.options import TaskOptions
from steadypool.pools.aio.loop_pool import LoopPool
from tests.patience import WAIT

JOBS = 100


def mark(path: str, number: int) -> None:
    with open(path, "ab", buffering=0) as file:
        file.write(f"{number}\n".encode())


async def mark_async(path: str, number: int) -> None:
    mark(path, number)


@pytest.mark.parametrize("kind", [ThreadPool, ProcessPool, LoopPool])
def test_a_job_runs_or_comes_back(kind: type[Pool], tmp_path: Path) -> None:
    path = tmp_path / "ran"
    path.touch()
    pool: Pool = kind(2)
    fn = mark_async if kind is LoopPool else mark
    pool._submit_prepared([(TaskOptions(), fn, (str(path), -1))])[0].result(WAIT)
    futures = pool._submit_prepared([(TaskOptions(), fn, (str(path), number)) for number in range(JOBS)])
    back: list[int] = []
    threads = [threading.Thread(target=hand_back, args=(pool, futures, step, back)) for step in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not wait(futures, WAIT).not_done
    report = pool.drain(WAIT)
    ran = sorted(map(int, path.read_text().split()))
    assert ran == [-1, *(number for number, future in enumerate(futures) if future.outcome is Outcome.SUCCEEDED)]
    assert sorted(back) == [number for number, future in enumerate(futures) if future.outcome is Outcome.RETURNED]
    assert len(ran) + len(back) == JOBS + 1 and report.ok


def hand_back(pool: Pool, futures: list[object], step: int, back: list[int]) -> None:
    """Hand all of them back, the last ones first or the first ones."""
    for number in range(JOBS)[::step]:
        if pool._hand_back(futures[number]):
            back.append(number)
