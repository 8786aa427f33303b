"""How long a drain would take, and a warning when that is too long. What is asserted grows on a busy machine."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from steadypool import QueueFull, task
from steadypool.model.events import DrainMayOverrun
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch

RUN = 0.02
"""Seconds that a job of these tests takes at least."""


def measured(pool: Any) -> None:
    """Have the pool learn how long jobs run."""
    for future in [pool.submit(jobs.sleep, RUN) for _ in range(3)]:
        future.result(WAIT)


def test_nothing_is_foretold_before_a_run_was_measured(pool: Any) -> None:
    assert pool.stats().drain_estimate is None


def test_the_estimate_follows_what_there_is_to_run(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.2)
    measured(pool)
    _, actor = stage.start(pool)
    for _ in range(100):
        pool.submit(jobs.nothing)
    assert pool.stats().drain_estimate > 100 * RUN * 0.9
    actor.tell("return")
    report = pool.drain(WAIT)
    assert report.ok and report.stats.drain_estimate == pool.stats().drain_estimate == 0.0


def test_the_estimate_goes_by_task(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.2, queue_size=5000)
    slow, quick = task(jobs.sleep, name="slow"), task(jobs.nothing, name="quick")
    for future in [pool.submit(slow, 10 * RUN), *(pool.submit(quick) for _ in range(200))]:
        future.result(WAIT)
    _, actor = stage.start(pool, fn=task(jobs.act, name="quick"))
    for _ in range(3000):
        pool.submit(quick)
    without = pool.stats().drain_estimate
    for _ in range(100):
        pool.submit(slow, 0)
    pool.submit(slow.options(priority=1), 0)
    with_slow = pool.stats().drain_estimate
    # It was measured at no less than that; the queue is longer than what is looked at, so a tenth may be missed.
    assert with_slow - without > 100 * 10 * RUN * 0.9
    assert without < 3000 * RUN, "jobs that do nothing are not expected to take a tenth of what the slow one took"
    actor.tell("return")
    pool.drain(WAIT)


def test_fast_jobs_are_measured_as_well(pool: Any) -> None:
    for future in [pool.submit(jobs.nothing) for _ in range(200)]:
        future.result(WAIT)
    assert pool.stats().drain_estimate == 0.0
    assert 0 < pool._core.run_times.mean < 1


def test_the_oldest_job_that_waits(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    assert pool.stats().oldest_waiting == 0.0
    _, actor = stage.start(pool)
    before = monotonic()
    waiting = [pool.submit(jobs.nothing) for _ in range(3)]
    age = pool.stats().oldest_waiting
    assert 0 < age <= monotonic() - before
    assert pool.stats().oldest_waiting > age
    actor.tell("return")
    for future in waiting:
        future.result(WAIT)
    assert pool.stats().oldest_waiting == 0.0


@pytest.mark.differs_on("asyncio", "its handlers are the loop's: see tests/pools/aio/test_forecast.py")
def test_a_warning_when_the_block_is_entered(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    measured(pool)
    _, actor = stage.start(pool)
    for _ in range(100):
        pool.submit(jobs.nothing)
    watch = Watch(pool)
    with pool.drain_on_signal(timeout=1.0, signals=[signal.SIGUSR2]):
        (event,) = watch.of(DrainMayOverrun)
        assert event.seconds == 1.0 < event.estimate and event.pool == pool.name
    with pool.drain_on_signal(timeout=1e6, signals=[signal.SIGUSR2]):
        pass
    assert len(watch.of(DrainMayOverrun)) == 1
    actor.tell("return")


@pytest.mark.differs_on("asyncio", "its handlers are the loop's: see tests/pools/aio/test_forecast.py")
def test_a_warning_when_the_estimate_outgrows_the_limit(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, cancel_grace=0.2)
    watch = Watch(pool)
    with pool.drain_on_signal(timeout=5 * RUN, signals=[signal.SIGUSR2]):
        assert watch.of(DrainMayOverrun) == []
        for _ in range(100):
            pool.submit(jobs.sleep, RUN)
        (event,) = watch.wait_for(DrainMayOverrun)
        assert event.estimate > event.seconds == 5 * RUN
    pool.drain(0)


@pytest.mark.differs_on("asyncio", "its handlers are the loop's: see tests/pools/aio/test_forecast.py")
def test_a_warning_when_the_queue_is_full(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=100)
    measured(pool)
    watch = Watch(pool)
    _, actor = stage.start(pool)
    with pool.drain_on_signal(timeout=1.0, signals=[signal.SIGUSR2]):
        give_up = monotonic() + WAIT
        while not watch.of(DrainMayOverrun):
            assert monotonic() < give_up
            with suppress(QueueFull):
                pool.try_submit(jobs.nothing)
    actor.tell("return")
