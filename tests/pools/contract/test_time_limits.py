"""A time limit stops the work, not just the wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobTimeout, Outcome, Retry, task
from tests.patience import LONG, WAIT
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage

pytestmark = pytest.mark.usefixtures("patient_stacks")
LIMITS = (0.1, 0.5, 2.0, 8.0)
"""Seconds. On a busy machine a job needs a longer one to begin with what is tested."""


@pytest.mark.differs_on("asyncio", "it looks for the name of a file in the stack")
def test_the_caller_is_told_at_the_limit_whatever_the_job_does(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    pool.submit(jobs.nothing).result(WAIT)  # or the limit might pass while its module is imported
    for limit in LIMITS:
        began = time.monotonic()
        future, actor = stage.start(pool, fn=task(jobs.act, timeout=limit, id="slow-1"))
        with pytest.raises(JobTimeout, match=f"timeout of {limit:g} s") as caught:
            future.result(WAIT)
        assert limit <= time.monotonic() - began < LONG
        error = caught.value
        if "in act" in error.stack:
            break
        actor.tell("return")
    assert isinstance(error, TimeoutError)
    assert (error.job_id, error.seconds, error.limit) == ("slow-1", limit, "timeout")
    assert "in act" in error.stack and "in act" in str(error)
    assert "jobs.py" in error.stack.splitlines()[0]  # the pool's own frames are left out
    assert (future.outcome, future.cancelled(), future.attempts) == (Outcome.TIMED_OUT, False, 1)
    assert actor.ask("facts")["cause"] == "timeout"
    assert pool.stats().timed_out == LIMITS.index(limit) + 1
    actor.tell("return")
    assert future.outcome is Outcome.TIMED_OUT


def test_the_job_learns_of_it_and_its_worker_goes_on(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.05))
    assert actor.ask("told")[1] == "timeout"
    actor.tell("obey")
    with pytest.raises(JobTimeout):
        future.result(WAIT)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.stats().stuck == 0


def test_a_job_within_its_limit_is_not_disturbed(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=LONG))
    facts = actor.ask("facts")
    assert 0 < facts["remaining"] <= LONG and facts["cause"] is None
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_a_job_that_ignores_its_limit_does_not_cost_capacity(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    # It is not waited for on the stage: a process may be killed before it has come there.
    future = pool.submit(task(jobs.act, timeout=0.05), stage.address)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert future.outcome is Outcome.TIMED_OUT


def test_the_limit_counts_from_the_start_of_the_attempt(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    [(_, actor)] = stage.occupy(pool)
    queued = pool.submit(task(jobs.act, timeout=LONG), stage.address)
    assert stage.is_empty(0.2)  # so much would be missing if it counted from here
    may_start = time.monotonic()
    actor.tell("return")
    started = stage.enter()
    remaining = started.ask("facts")["remaining"]
    assert LONG - (time.monotonic() - may_start) <= remaining <= LONG
    started.tell("return")
    assert queued.result(WAIT) == "actor"


def test_the_pool_s_default_applies_and_a_task_s_own_comes_first(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, timeout=0.05, cancel_grace=LONG)
    limited, first = stage.start(pool)
    unlimited, second = stage.start(pool, fn=task(jobs.act, timeout=math.inf))
    longer, third = stage.start(pool, fn=jobs.staged.options(timeout=LONG))
    with pytest.raises(JobTimeout):
        limited.result(WAIT)
    assert second.ask("facts")["deadline"] is None
    for actor in (first, second, third):
        actor.tell("return")
    assert [unlimited.result(WAIT), longer.result(WAIT)] == ["actor", "actor"]


@pytest.mark.parametrize("limit", [1e7, 1e300])
def test_a_limit_longer_than_any_clock_takes(pool: Any, stage: Stage, limit: float) -> None:
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=limit, total_timeout=limit))
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_options_can_take_a_limit_off_again(pool: Any, stage: Stage) -> None:
    limited = task(jobs.act, timeout=0.05)
    _, actor = stage.start(pool, fn=limited.options(timeout=None))
    assert actor.ask("facts")["deadline"] is None
    actor.tell("return")


def test_a_job_that_expires_in_the_queue_never_starts(
    make_pool: Callable[..., Any], stage: Stage, tmp_path: Any
) -> None:
    pool = make_pool(1)
    path = str(tmp_path / "notes")
    [(_, actor)] = stage.occupy(pool)
    expiring = pool.submit(task(jobs.note, total_timeout=0.05), path)
    began = time.monotonic()
    with pytest.raises(JobTimeout, match=r"total_timeout of 0\.05 s") as caught:
        expiring.result(WAIT)
    assert time.monotonic() - began < WAIT / 2
    assert (caught.value.limit, caught.value.stack) == ("total_timeout", "")
    assert (expiring.outcome, expiring.attempts) == (Outcome.TIMED_OUT, 0)
    actor.tell("return")
    pool.shutdown()
    assert jobs.lines(path) == []


def test_an_expired_job_gives_its_room_back(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    stage.occupy(pool)
    expiring = pool.submit(task(jobs.nothing, total_timeout=0.05))
    assert isinstance(expiring.exception(WAIT), JobTimeout)
    assert not pool.try_submit(jobs.nothing).done()


def test_the_total_limit_ends_a_running_job(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    pool.submit(jobs.nothing).result(WAIT)  # or the limit might pass while its module is imported
    for limit in LIMITS:
        future = pool.submit(task(jobs.act, total_timeout=limit), stage.address)
        with pytest.raises(JobTimeout) as caught:
            future.result(WAIT)
        assert (caught.value.limit, caught.value.seconds) == ("total_timeout", limit)
        if future.attempts:
            actor = stage.enter()
            assert actor.ask("told")[1] == "timeout"
            actor.tell("obey")
        if "in act" in caught.value.stack:
            break
    assert future.attempts == 1 and "in act" in caught.value.stack


def test_the_context_s_deadline_is_the_earlier_one(pool: Any, stage: Stage) -> None:
    _, actor = stage.start(pool, fn=task(jobs.act, timeout=1000, total_timeout=50))
    facts = actor.ask("facts")
    assert 0 < facts["remaining"] <= 50
    actor.tell("return")
    _, actor = stage.start(pool, fn=task(jobs.act, timeout=50, total_timeout=1000))
    assert 0 < actor.ask("facts")["remaining"] <= 50
    actor.tell("return")


def test_the_total_limit_includes_every_attempt(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    pool = make_pool(1)
    pool.submit(jobs.nothing).result(WAIT)  # or the limit might pass while its worker starts
    path = str(tmp_path / "notes")
    often = Retry(attempts=1000, on=OSError, backoff=0.01, factor=1)
    for limit in LIMITS:
        future = pool.submit(task(jobs.always_fail, retry=often, total_timeout=limit), path)
        began = time.monotonic()
        assert isinstance(future.exception(WAIT), OSError | JobTimeout)
        assert time.monotonic() - began < WAIT / 2
        if future.attempts > 1:
            break
    assert 1 < future.attempts < 1000


def test_a_backoff_that_would_outlast_the_total_limit_is_not_waited_for(
    make_pool: Callable[..., Any], tmp_path: Any
) -> None:
    pool = make_pool(1)
    patient = Retry(attempts=3, on=OSError, backoff=2 * LONG, max_backoff=2 * LONG)
    began = time.monotonic()
    future = pool.submit(task(jobs.always_fail, retry=patient, total_timeout=LONG), str(tmp_path / "notes"))
    with pytest.raises(OSError, match="call 1"):
        future.result(WAIT)
    assert time.monotonic() - began < WAIT
    assert (future.outcome, future.attempts) == (Outcome.FAILED, 1)


def test_a_timeout_is_retried_when_named_and_after_the_attempt_has_ended(
    make_pool: Callable[..., Any], stage: Stage
) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    again = task(jobs.act, timeout=0.1, retry=Retry(3, on=JobTimeout, backoff=0))
    future, first = stage.start(pool, fn=again)
    assert first.ask("told")[1] == "timeout"
    assert stage.is_empty(0.05) and not future.done()
    first.tell("obey")
    second = stage.enter()
    facts = second.ask("facts")
    assert facts["attempt"] == 2
    assert facts["cause"] is None or not facts["remaining"]  # on a busy machine its time may be up, too
    second.tell("return")  # then this still counts, as there is a third attempt
    assert future.result(WAIT) == "actor"
    assert (future.attempts, future.outcome) == (2, Outcome.SUCCEEDED)


def test_a_timeout_is_not_retried_unless_named(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.05, retry=Retry(5, backoff=0)))
    actor.tell("obey")
    with pytest.raises(JobTimeout):
        future.result(WAIT)
    assert future.attempts == 1


def test_the_last_attempt_s_timeout_is_the_outcome(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    again = task(jobs.act, timeout=0.05, retry=Retry(2, on=JobTimeout, backoff=0))
    future, actor = stage.start(pool, fn=again)
    actor.tell("obey")
    stage.enter().tell("obey")
    with pytest.raises(JobTimeout):
        future.result(WAIT)
    assert (future.attempts, future.outcome) == (2, Outcome.TIMED_OUT)
    assert pool.stats().timed_out == 1 and pool.stats().accepted == 1


def test_returning_within_the_grace_of_a_retried_attempt_succeeds(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    again = task(jobs.act, timeout=0.05, retry=Retry(2, on=JobTimeout, backoff=0))
    future, actor = stage.start(pool, fn=again)
    actor.tell("finish when told")
    assert future.result(WAIT) == "finished though timeout"
    assert (future.attempts, future.outcome) == (1, Outcome.SUCCEEDED)


def test_many_limits_at_once(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(8, cancel_grace=LONG)
    batch = [pool.submit(task(jobs.obey, timeout=0.02 + n / 1000), stage.address) for n in range(40)]
    for future in batch:
        assert isinstance(future.exception(WAIT), JobTimeout)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    stats = pool.stats()
    assert (stats.timed_out, stats.stuck, stats.capacity) == (40, 0, 8)


def test_a_limit_earlier_than_the_one_it_sleeps_for_wakes_the_supervisor(
    make_pool: Callable[..., Any], stage: Stage
) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    late, _ = stage.start(pool, "late", task(jobs.act, timeout=1000))
    early, actor = stage.start(pool, "early", task(jobs.act, timeout=0.05))
    assert isinstance(early.exception(WAIT), JobTimeout)
    assert not late.done()
    actor.tell("return")
