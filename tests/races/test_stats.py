"""The books, sampled all the time while everything happens at once."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from steadypool import JobFuture, JobTimeout, PoolStats, QueueFull, Retry, ThreadPool, current_job, task
from tests.patience import WAIT
from tests.races.arena import pool_of
from tests.races.books import check_final, check_sample

pytestmark = pytest.mark.usefixtures("switching")
JOBS = 1500
WORKERS = 3
QUEUE = 20


def succeed() -> str:
    return "done"


def fail() -> None:
    raise LookupError("as told")


@task(retry=Retry(3, on=OSError, backoff=0.0005))
def recover() -> str:
    if current_job().attempt < 3:
        raise OSError("not yet")
    return "done"


@task(retry=Retry(2, on=(OSError, JobTimeout), backoff=0.0), timeout=0.003)
def hang_once() -> str:
    if current_job().attempt == 1:
        current_job().sleep(WAIT)
    return "done"


@task(timeout=0.002)
def hang() -> None:
    current_job().sleep(WAIT)
    current_job().raise_if_cancelled()


urgent = task(succeed, priority=5)
idle = task(fail, priority=-5)
expiring = task(succeed, total_timeout=0.002)
KINDS = [succeed, succeed, succeed, fail, recover, hang_once, hang, urgent, idle, expiring]


class Sampler(threading.Thread):
    """Reads the books until asked to stop, and keeps the first sample that is wrong."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(daemon=True)
        self._pool = pool
        self._done = threading.Event()
        self.error: BaseException | None = None
        self.samples = 0

    def run(self) -> None:
        before: PoolStats | None = None
        try:
            while not self._done.is_set():
                now = self._pool.stats()
                check_sample(now)
                assert sum(row.job_id is not None for row in now.worker_rows) <= WORKERS
                if before is not None:
                    assert now.accepted >= before.accepted and now.ended >= before.ended, (before, now)
                    assert now.succeeded >= before.succeeded and now.retries >= before.retries
                before = now
                self.samples += 1
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._done.set()
        self.join(WAIT)
        if self.error is not None:
            raise self.error


def produce(pool: ThreadPool, seed: int, futures: list[JobFuture[Any]]) -> None:
    chance = random.Random(seed)
    for _ in range(JOBS // 2):
        try:
            futures.append(pool.submit(chance.choice(KINDS)))
        except QueueFull:
            continue
        if chance.random() < 0.1:
            chance.choice(futures[-QUEUE:]).cancel(running=chance.random() < 0.5)


@pytest.mark.parametrize("on_full", ["block", "reject", "discard_oldest"])
def test_every_sample_balances_under_mixed_load(on_full: str) -> None:
    futures: list[JobFuture[Any]] = []
    with pool_of(WORKERS, queue_size=QUEUE, on_full=on_full) as pool:
        sampler = Sampler(pool)
        sampler.start()
        producers = [threading.Thread(target=produce, args=(pool, seed, futures), daemon=True) for seed in range(2)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join(WAIT)
            assert not producer.is_alive()
    sampler.stop()
    assert sampler.samples > 1
    check_final(pool.stats(), futures)
    assert pool.stats().stuck == 0


def test_rows_are_read_while_jobs_come_and_go() -> None:
    """The workers change hands without a lock; whoever looks at them must not stumble."""
    with pool_of(WORKERS) as pool:
        sampler = Sampler(pool)
        sampler.start()
        futures = [pool.submit(succeed) for _ in range(20 * JOBS)]
    sampler.stop()
    check_final(pool.stats(), futures)
