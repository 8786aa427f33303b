"""Resizing loses no job and interrupts none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadypool import PoolClosed
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_queue import in_thread


def test_up_starts_what_waits(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    batch = [pool.submit(jobs.act, stage.address, str(n)) for n in range(3)]
    stage.enter()
    assert stage.is_empty()
    pool.resize(3)
    stage.enter_many(2)
    assert (pool.stats().running, pool.stats().max_workers, pool.stats().capacity) == (3, 3, 3)
    stage.close()
    assert sorted(future.result(WAIT) for future in batch) == ["0", "1", "2"]


def test_down_waits_for_running_jobs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3)
    started = [stage.start(pool, str(n)) for n in range(3)]
    waiting = [pool.submit(jobs.act, stage.address, f"w{n}") for n in range(2)]
    pool.resize(1)
    assert [actor.ask("cause") for _, actor in started] == [None] * 3
    started[0][1].tell("return")
    started[1][1].tell("return")
    assert started[0][0].result(WAIT) == "0" and started[1][0].result(WAIT) == "1"
    assert stage.is_empty(0.05)  # one still runs, and there is one worker
    started[2][1].tell("return")
    stage.enter().tell("return")
    stage.enter().tell("return")
    assert [future.result(WAIT) for future in waiting] == ["w0", "w1"]
    pool.drain(WAIT)
    assert pool.stats().succeeded == 5


def test_up_and_down_under_load(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, queue_size=20)
    thread, ended = in_thread(lambda: [pool.submit(jobs.same, n) for n in range(1000)])
    size = 0
    while thread.is_alive():
        size = size % 6 + 1
        pool.resize(size)
        assert pool.stats().balanced
    assert [future.result(WAIT) for future in ended[0]] == list(range(1000))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_sizes(pool: Any, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_workers"):
        pool.resize(size)
    assert pool.stats().max_workers == 2


def test_a_closed_pool(pool: Any) -> None:
    pool.drain(1)
    with pytest.raises(PoolClosed):
        pool.resize(3)
