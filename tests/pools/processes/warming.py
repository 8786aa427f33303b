"""Pools whose workers are there before a test begins."""

from __future__ import annotations

from time import monotonic
from typing import Any

from tests.pools.contract.stage import WAIT, Stage


def warm(pool: Any) -> Any:
    """The pool, once every one of its workers has run a job."""
    stage = Stage()
    try:
        futures = [future for future, _ in stage.occupy(pool, pool.stats().max_workers)]
    finally:
        stage.close()
    for future in futures:
        future.result()
    return pool


def as_if_jobs_took_no_time(pool: Any) -> None:
    """However busy the machine is, and though the supervisor may be about to judge by the jobs that have warmed it."""
    pace = pool._workers.fleet.pace
    pace.judge = lambda: None
    pace.depth = 64


def known_pids(pool: Any, workers: int = 1) -> list[int]:
    """The pids of so many workers. A job may have begun before the thread that starts its process has noted the pid."""
    give_up = monotonic() + WAIT
    while len(pids := pool.worker_pids()) < workers:
        assert monotonic() < give_up, pids
    return list(pids)
