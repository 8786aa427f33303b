"""A drain ends on time whatever workers do, and leaves none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Outcome, PoolState
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.remains import is_dead, open_watch
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that live at this moment."""
    return [pid for pid in pids if (watch := open_watch(pid)) is not None and not is_dead(watch, 0)]


@on_each_parent
@pytest.mark.parametrize("deed", [deeds.ignore_all, deeds.count_on_stage, deeds.stop_process])
def test_with_workers_that_ignore_everything(make_pool: MakePool, stage: Stage, deed: Any) -> None:
    pool = warm(make_pool(2, cancel_grace=0.1))
    stuck = [pool.submit(deed, stage.address) for _ in range(2)]
    stage.enter_many(2)
    waiting = [pool.submit(jobs.nothing) for _ in range(5)]
    pids = pool.worker_pids()
    assert len(pids) == 2
    report = pool.drain(timeout=0.1)
    assert alive(pids) == []
    assert report.state is PoolState.CLOSED
    assert not report.on_time
    assert {future.outcome for future in stuck} == {Outcome.INTERRUPTED}
    assert {future.outcome for future in waiting} == {Outcome.RETURNED}
    assert {job.id for job in report.interrupted} == {future.job_id for future in stuck}
    assert {job.id for job in report.unfinished} == {future.job_id for future in waiting}
    assert {future.attempts for future in waiting} == {0}
    assert report.elapsed < WAIT
    assert pool.worker_pids() == []


@on_each_parent
def test_with_idle_workers(make_pool: MakePool) -> None:
    pool = warm(make_pool(2))
    pids = pool.worker_pids()
    assert pool.drain(WAIT).ok
    assert alive(pids) == []


def test_with_a_thread_that_a_job_left_behind(make_pool: MakePool) -> None:
    """The interpreter of the worker would wait for it for ever."""
    pool = make_pool(1)
    pool.submit(deeds.leave_a_thread).result(WAIT)
    pids = pool.worker_pids()
    report = pool.drain(0.1)
    assert report.ok
    assert alive(pids) == []


def test_with_a_worker_that_is_just_starting(make_pool: MakePool) -> None:
    pool = make_pool(2)
    future = pool.submit(jobs.same, 1)
    report = pool.drain(WAIT)
    assert report.ok
    assert future.result() == 1


def test_at_once_with_a_worker_that_is_just_starting(make_pool: MakePool) -> None:
    pool = make_pool(2, cancel_grace=0.05)
    futures = [pool.submit(jobs.sleep, 0.01) for _ in range(10)]
    report = pool.drain(0)
    assert report.state is PoolState.CLOSED
    assert all(future.done() for future in futures)
    assert pool.worker_pids() == []


@on_each_parent
def test_what_runs_may_finish(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(2)
    running = [future for future, _ in stage.occupy(pool, 2)]
    waiting = [pool.submit(jobs.same, number) for number in range(10)]
    pool.request_drain(WAIT)
    stage.close()
    report = pool.drain(WAIT)
    assert report.ok
    assert [future.result() for future in running] == ["busy-0", "busy-1"]
    assert [future.result() for future in waiting] == list(range(10))


def test_a_job_is_told_in_its_worker(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=WAIT)
    future = pool.submit(deeds.sleep_until_told, stage.address)
    stage.enter()
    report = pool.drain(0)
    if future.exception() is None:
        assert future.result() == "shutdown"
    else:
        assert future.outcome is Outcome.INTERRUPTED
    assert report.state is PoolState.CLOSED


def test_a_crash_during_the_drain_leaves_no_job_behind(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    [(first, actor)] = stage.occupy(pool)
    behind = [pool.submit(deed) for deed in (deeds.kill, deeds.pid, deeds.kill, deeds.pid)]
    pool.request_drain(WAIT)
    actor.tell("return")
    report = pool.drain(WAIT)
    assert first.result() == "busy-0"
    assert [future.outcome for future in behind] == [Outcome.CRASHED, Outcome.SUCCEEDED] * 2
    assert report.stats.crashed == 2
