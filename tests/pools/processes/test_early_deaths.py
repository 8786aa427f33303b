"""Workers that die before they are ready: started again ever later, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from steadypool import PoolClosed, PoolState, WorkerCrashed
from steadypool.model import events
from steadypool.model.errors import PoolBroken
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_every_method

MakePool = Callable[..., Any]


@on_every_method
def test_an_initializer_that_dies_breaks_the_pool(make_pool: MakePool, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    pool = make_pool(2, initializer=deeds.set_up, initargs=(log, 1000))
    watch = Watch(pool)
    futures = [pool.submit(jobs.nothing) for _ in range(10)]
    for future in futures:
        error = future.exception(WAIT)
        assert isinstance(error, PoolBroken)
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, WorkerCrashed)
        assert error.__cause__.exitcode == 9
        assert "before it was ready" in str(error.__cause__)
    assert 1 < jobs.count_lines(log) < 20
    with pytest.raises(PoolBroken):
        pool.submit(jobs.nothing)
    report = pool.drain(WAIT)
    assert report.stats.failed == 10
    assert report.stats.restarts >= 1
    assert {event.reason for event in watch.of(events.WorkerEnded)} <= {"died", "closed", "killed"}


@on_every_method
def test_an_initializer_that_raises_breaks_the_pool_at_once(make_pool: MakePool) -> None:
    pool = make_pool(2, initializer=deeds.fail_to_set_up, initargs=("no database",))
    future = pool.submit(jobs.nothing)
    error = future.exception(WAIT)
    assert isinstance(error, PoolBroken)
    assert isinstance(error, PoolClosed)
    assert isinstance(error.__cause__, LookupError)
    assert "no database" in str(error)
    assert "fail_to_set_up" in "".join(str(cause) for cause in causes(error))
    with pytest.raises(PoolBroken):
        pool.submit(jobs.nothing)
    assert pool.drain(WAIT).state is PoolState.CLOSED


def causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return chain


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["SystemExit", "KeyboardInterrupt"])
def test_an_initializer_that_leaves_breaks_the_pool(make_pool: MakePool, error: BaseException) -> None:
    pool = make_pool(1, initializer=jobs.fail_with, initargs=(error,))
    broken = pool.submit(jobs.nothing).exception(WAIT)
    assert isinstance(broken, PoolBroken)
    assert type(broken.__cause__) is type(error)


@on_every_method
def test_two_early_deaths_are_survived(make_pool: MakePool, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    pool = make_pool(1, initializer=deeds.set_up, initargs=(log, 3))
    future = pool.submit(jobs.same, 1)
    assert future.result(WAIT) == 1
    assert future.attempts == 1
    assert pool.stats().restarts == 2
    assert jobs.count_lines(log) == 3


def test_restarts_come_ever_later(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1, initializer=deeds.set_up, initargs=(str(tmp_path / "log"), 1000))
    watch = Watch(pool)
    began = time.monotonic()
    assert isinstance(pool.submit(jobs.nothing).exception(WAIT), PoolBroken)
    pool.drain(WAIT)
    deaths = [event.at for event in watch.of(events.WorkerEnded)]
    assert len(deaths) == 5
    # Each waits for at least its backoff, whatever the machine does.
    gaps = [later - earlier for earlier, later in pairwise(deaths)]
    assert all(gap >= wait for gap, wait in zip(gaps, (0.05, 0.1, 0.2, 0.4), strict=True)), (deaths, began)


def test_an_initializer_that_hangs_does_not_hold_up_the_drain(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, initializer=deeds.ignore_all, initargs=(stage.address,))
    future = pool.submit(jobs.nothing)
    stage.enter()
    report = pool.drain(timeout=0.1)
    assert report.state is PoolState.CLOSED
    assert future.cancelled()
    assert report.stats.returned == 1
    assert pool.worker_pids() == []


def test_a_job_for_a_worker_that_is_not_ready_does_not_run_yet(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, initializer=jobs.act, initargs=(stage.address,))
    future = pool.submit(jobs.nothing)
    initializer = stage.enter()
    assert not future.running() and future.cancel() and future.cancelled()
    initializer.tell("return")
    future, actor = stage.start(pool)
    assert future.running() and not future.cancel()
    actor.tell("return")
    assert future.result(WAIT) == "actor" and not future.running()


def test_an_initializer_that_cannot_be_carried_breaks_the_pool(make_pool: MakePool) -> None:
    pool = make_pool(1, initializer=jobs.everything, initargs=(deeds.make_lock(),))
    error = pool.submit(jobs.nothing).exception(WAIT)
    assert isinstance(error, PoolBroken)
    assert isinstance(error.__cause__, TypeError)
    assert "pickle" in str(error.__cause__)


def test_an_initializer_may_be_a_lambda(make_pool: MakePool, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    pool = make_pool(1, initializer=lambda: jobs.note(path, "ready"))
    pool.submit(jobs.nothing).result(WAIT)
    assert jobs.lines(path) == ["ready"]


def test_what_waits_for_room_is_let_go(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1, initializer=deeds.set_up, initargs=(str(tmp_path / "log"), 1000), queue_size=1)
    with pytest.raises(PoolBroken):
        while True:
            pool.submit(jobs.nothing)
