"""Workers are killed at random while jobs flow: every job has one outcome, and only the killed ones are crashed."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import Outcome, Retry, WorkerCrashed, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.warming import warm
from tests.races.books import check_final, check_sample

MakePool = Callable[..., Any]


class Killer:
    """A thread that kills workers of a pool, those that have run a job, until it has killed enough."""

    def __init__(self, pool: Any, kills: int, seed: int) -> None:
        self._pool = pool
        self._kills = kills
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self.killed: set[int] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while len(self.killed) < self._kills and not self._stop.wait(self._chance.uniform(0.0, 0.02)):
            stats = self._pool.stats()
            check_sample(stats)
            victims = [row.pid for row in stats.worker_rows if row.jobs_done and row.pid not in (None, *self.killed)]
            if victims:
                pid = self._chance.choice(victims)
                self.killed.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


@on_each_parent
@pytest.mark.parametrize("seed", [1, 2])
def test_small_and_big_jobs(make_pool: MakePool, seed: int) -> None:
    pool = make_pool(3, queue_size=100)
    chance = random.Random(seed)
    sent: list[tuple[Any, Any]] = []
    with Killer(pool, 12, seed) as killer:
        for number in range(1000):
            value: Any = number
            if number % 50 == 0:
                value = bytes([number % 251]) * chance.choice([40_000, 300_000, 3_000_000])
            elif number % 10 == 0:
                value = "text" * chance.randrange(10_000)
            sent.append((value, pool.submit(jobs.same, value)))
        for _, future in sent:
            future.exception(WAIT)
    outcomes = Counter(future.outcome for _, future in sent)
    assert set(outcomes) <= {Outcome.SUCCEEDED, Outcome.CRASHED}
    assert outcomes[Outcome.CRASHED] <= len(killer.killed), "one job for each worker at most"
    for value, future in sent:
        if future.outcome is Outcome.SUCCEEDED:
            assert future.result() == value
        else:
            error = future.exception()
            assert isinstance(error, WorkerCrashed)
            assert error.pid in killer.killed
            assert error.signal_name == "SIGKILL"
        assert future.attempts == 1
    check_final(pool.drain(WAIT).stats, [future for _, future in sent])


def test_with_retries_all_succeed(make_pool: MakePool, method: str) -> None:
    pool = make_pool(3)
    tough = task(deeds.sleep_and_return, retry=Retry(50, on=WorkerCrashed, backoff=0.0))
    with Killer(pool, 15, seed=3) as killer:
        futures = [pool.submit(tough, number) for number in range(500)]
        assert [future.result(WAIT) for future in futures] == list(range(500))
    stats = pool.stats()
    assert stats.crashed == 0
    assert stats.retries == sum(future.attempts - 1 for future in futures) <= len(killer.killed)


def test_chunks(make_pool: MakePool, tmp_path: Path) -> None:
    """Each item runs once, or its worker was killed."""
    pool = warm(make_pool(3))
    log = str(tmp_path / "log")
    ended: list[Any] = []
    pool.subscribe(lambda event: ended.append(event) if hasattr(event, "outcome") else None)
    with Killer(pool, 10, seed=4):
        results = pool.map(deeds.note_slowly, [log] * 1000, range(1000), chunksize=10)
        pool.drain(WAIT * 2)
    results.close()
    outcomes = Counter(event.outcome for event in ended)
    assert sum(outcomes.values()) == 1000
    assert set(outcomes) <= {Outcome.SUCCEEDED, Outcome.CRASHED}
    runs = Counter(jobs.lines(log))
    assert max(runs.values()) == 1, "nothing runs twice"
    assert len(runs) >= outcomes[Outcome.SUCCEEDED]


def test_killed_and_cancelled_and_timed_out_at_once(make_pool: MakePool, method: str) -> None:
    pool = make_pool(3, cancel_grace=0.05)
    chance = random.Random(5)
    futures = []
    with Killer(pool, 8, seed=5) as killer:
        for number in range(300):
            kind = chance.randrange(10)
            if kind == 0:
                futures.append(pool.submit(task(deeds.count_for_ever, timeout=0.02)))
            elif kind == 1:
                futures.append(pool.submit(task(jobs.sleep, timeout=0.01), 0.02))
            else:
                futures.append(pool.submit(jobs.same, number))
            if kind == 2:
                futures[-1].cancel(running=True)
            elif kind == 3:
                chance.choice(futures).cancel(running=True)
        for future in futures:
            future.exception(WAIT) if not future.cancelled() else None
    for future in futures:
        if future.outcome is Outcome.CRASHED:
            assert future.exception().pid in killer.killed
    report = pool.drain(WAIT)
    check_final(report.stats, futures)
