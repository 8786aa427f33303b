"""A thread cannot be killed: one that does not stop is left behind, replaced, and reported for as long as it lives."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobTimeout, Outcome, Retry, task
from steadypool.model.events import CapacityChanged, JobStuck, WorkerAbandoned, WorkerEnded
from steadypool.model.health import HealthReason
from tests.patience import WAIT, eventually, takes
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage
from tests.pools.contract.watch import Watch

GRACE = 0.02


def leave_behind(pool: Any, stage: Stage, watch: Watch, count: int) -> list[tuple[Any, Any]]:
    """Have that many jobs hang until they are left behind."""
    hanging = []
    for number in range(count):
        hanging.append(stage.start(pool, f"stuck-{number}", task(jobs.act, timeout=0.02, id=f"stuck-{number}")))
        watch.wait_for(WorkerAbandoned, number + 1)
    return hanging


def test_it_is_replaced_and_reported_until_it_ends(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    [(future, actor)] = leave_behind(pool, stage, watch, 1)
    assert future.outcome is Outcome.TIMED_OUT
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    stats = pool.stats()
    assert (stats.stuck, stats.capacity, stats.max_workers, stats.running) == (1, 1, 1, 0) and stats.balanced
    [stuck] = watch.of(JobStuck)
    assert stuck.job_id == "stuck-0" and "in act" in stuck.stack
    assert actor.ask("facts")["cause"] == "timeout"  # it still knows who it is
    actor.tell("return")
    watch.wait_for(WorkerEnded)
    assert pool.stats().stuck == 0
    assert future.outcome is Outcome.TIMED_OUT
    assert pool.submit(jobs.same, 2).result(WAIT) == 2


def test_a_pool_is_alive_while_anybody_is_left_to_run_jobs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    [(_, first)] = leave_behind(pool, stage, watch, 1)
    health = pool.health()
    assert (health.alive, health.ready, health.stuck, health.capacity) == (True, True, 1, 1)
    _, second = stage.start(pool, "stuck-1", task(jobs.act, timeout=0.02))
    watch.wait_for(WorkerAbandoned, 2)
    health = pool.health()
    assert (health.alive, health.ready, health.stuck, health.capacity) == (False, False, 2, 0)
    assert health.reasons == (HealthReason.ALL_STUCK,)
    for count, actor in enumerate((first, second), 1):
        actor.tell("return")
        watch.wait_for(WorkerEnded, count)
        assert pool.health().ready


def test_capacity_shrinks_beyond_as_many_as_there_are_workers(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=GRACE)
    watch = Watch(pool)
    hanging = leave_behind(pool, stage, watch, 3)
    stats = pool.stats()
    assert (stats.stuck, stats.capacity) == (3, 1)
    watch.wait_for(CapacityChanged, 3)  # which is told after the worker was left behind
    assert watch.of(CapacityChanged)[-1].capacity == 1
    one = pool.submit(jobs.act, stage.address, "one")
    other = pool.submit(jobs.act, stage.address, "other")
    actor = stage.enter()
    assert stage.is_empty(0.05)
    actor.tell("return")
    assert one.result(WAIT) == "one"
    stage.enter().tell("return")
    assert other.result(WAIT) == "other"
    hanging[0][1].tell("return")
    watch.wait_for(WorkerEnded)
    assert (pool.stats().stuck, pool.stats().capacity) == (2, 2)


def test_with_no_capacity_left_jobs_wait_and_come_back_to_life(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE, queue_size=5)
    watch = Watch(pool)
    hanging = leave_behind(pool, stage, watch, 2)
    assert (pool.stats().stuck, pool.stats().capacity) == (2, 0)
    waiting = pool.submit(jobs.same, 5)
    with pytest.raises(TimeoutError):
        waiting.result(0.05)
    hanging[0][1].tell("return")
    assert waiting.result(WAIT) == 5
    assert pool.stats().capacity == 1


def test_a_drain_with_no_capacity_gives_back_what_waits(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    leave_behind(pool, stage, watch, 2)
    waiting = pool.submit(jobs.nothing)
    with takes(0.1 + GRACE):
        report = pool.drain(0.1)
    assert waiting.outcome is Outcome.RETURNED
    assert [row.id for row in report.stuck] == ["stuck-0", "stuck-1"]


def test_stuck_jobs_are_in_the_drain_report_with_their_stacks(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, cancel_grace=GRACE)
    watch = Watch(pool)
    leave_behind(pool, stage, watch, 1)
    cancelled, _ = stage.start(pool, fn=task(jobs.act, id="cancelled", name="mine"))
    cancelled.cancel(running=True)
    watch.wait_for(WorkerAbandoned, 2)
    stage.start(pool, fn=task(jobs.act, id="drained"))
    report = pool.drain(0)
    rows = {row.id: row for row in report.stuck}
    assert {name: row.cause for name, row in rows.items()} == {
        "stuck-0": "timeout", "cancelled": "cancelled", "drained": "shutdown",
    }  # fmt: skip
    assert rows["cancelled"].task == "mine" and rows["stuck-0"].task == "tests.pools.contract.jobs.act"
    for row in rows.values():
        assert row.running_for > 0
        assert "jobs.py" in row.stack.splitlines()[0] and "in act" in row.stack
    assert [row.id for row in report.interrupted] == ["drained"]
    assert not report.ok and "stuck" in str(report) and "in act" in str(report)
    assert report.to_dict()["stuck"][0]["stack"]
    assert report.stats.stuck == 3


def test_a_job_in_its_grace_when_the_drain_ends_is_waited_for(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.2)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.02))
    assert isinstance(future.exception(WAIT), JobTimeout)
    report = pool.drain(WAIT)
    assert [row.cause for row in report.stuck] == ["timeout"]
    assert report.on_time or report.stuck
    actor.tell("return")


def test_a_stuck_attempt_is_not_run_again_beside_itself(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=GRACE)
    again = task(jobs.act, timeout=0.02, retry=Retry(3, on=JobTimeout, backoff=0))
    future, actor = stage.start(pool, fn=again)
    error = future.exception(WAIT)
    assert isinstance(error, JobTimeout) and future.attempts == 1
    assert stage.is_empty(0.05)
    actor.tell("return")


def test_a_late_result_of_a_stuck_job_is_dropped(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    [(future, actor)] = leave_behind(pool, stage, watch, 1)
    actor.tell("fail")
    watch.wait_for(WorkerEnded)
    assert isinstance(future.exception(), JobTimeout)
    stats = pool.stats()
    assert (stats.timed_out, stats.failed, stats.succeeded) == (1, 0, 0) and stats.balanced


def test_stuck_threads_do_not_keep_their_arguments(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    [(future, actor)] = leave_behind(pool, stage, watch, 1)
    gone = weakref.ref(future)
    actor.tell("return")
    watch.wait_for(WorkerEnded)
    watch.events.clear()
    pool.submit(jobs.nothing).result(WAIT)
    del future
    eventually(lambda: gc.collect() >= 0 and gone() is None)  # a thread may be about to let go of it


def test_threads_are_daemons_with_names(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, thread_name_prefix="mailer")
    assert pool.submit(jobs.thread_name).result(WAIT).startswith("mailer")
    with pytest.raises(TypeError, match="thread_name_prefix must be a str, not 5"):
        make_pool(1, thread_name_prefix=5)


def test_capacity_after_a_resize_with_stuck_threads(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=GRACE)
    watch = Watch(pool)
    leave_behind(pool, stage, watch, 2)
    assert pool.stats().capacity == 0
    pool.resize(3)
    assert pool.stats().capacity == 3
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
