"""Retries: when, how often, and what they cost others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from steadypool import JobExit, JobTimeout, Outcome, Retry, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


def test_a_job_runs_until_it_succeeds_and_counts_once(pool: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    future = pool.submit(task(jobs.fail_until, retry=Retry(5, on=OSError, backoff=0)), path, 3)
    assert future.result(WAIT) == 3
    assert jobs.lines(path) == ["1", "2", "3"]  # current_job().attempt
    assert (future.attempts, future.outcome) == (3, Outcome.SUCCEEDED)
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded, stats.failed, stats.retries) == (1, 1, 0, 2)
    assert pool.errors() == ()


def test_the_last_error_comes_out_and_is_counted_once(pool: Any, tmp_path: Any) -> None:
    future = pool.submit(task(jobs.always_fail, retry=Retry(3, backoff=0)), str(tmp_path / "notes"))
    with pytest.raises(OSError, match="call 3"):
        future.result(WAIT)
    assert (future.attempts, future.outcome) == (3, Outcome.FAILED)
    stats = pool.stats()
    assert (stats.accepted, stats.failed, stats.retries) == (1, 1, 2)
    assert [group.count for group in pool.errors()] == [1]


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (Retry(3, on=OSError, backoff=0), 3),
        (Retry(3, on=ValueError, backoff=0), 1),
        (Retry(3, on=(ValueError, OSError), backoff=0), 3),
        (Retry(3, on=Exception, give_up_on=OSError, backoff=0), 1),
        (Retry(3, on=Exception, give_up_on=(ValueError, FileNotFoundError), backoff=0), 3),
        (Retry(1), 1),
    ],
)
def test_only_what_is_worth_it_is_retried(pool: Any, tmp_path: Any, retry: Retry, attempts: int) -> None:
    future = pool.submit(task(jobs.always_fail, retry=retry), str(tmp_path / "notes"))
    assert isinstance(future.exception(WAIT), OSError)
    assert future.attempts == attempts


def test_an_exit_is_retried_only_when_named(pool: Any) -> None:
    plain = pool.submit(task(jobs.leave, retry=Retry(3, backoff=0)), 1)
    named = pool.submit(task(jobs.leave, retry=Retry(3, on=SystemExit, backoff=0)), 1)
    assert isinstance(plain.exception(WAIT), JobExit) and isinstance(named.exception(WAIT), JobExit)
    assert (plain.attempts, named.attempts) == (1, 3)


def test_a_timeout_error_of_the_job_s_own_is_no_time_limit(pool: Any) -> None:
    future = pool.submit(task(jobs.fail_with, retry=Retry(2, backoff=0)), TimeoutError("socket"))
    assert isinstance(future.exception(WAIT), TimeoutError)
    assert not isinstance(future.exception(), JobTimeout)
    assert future.attempts == 2


def test_a_backoff_holds_no_worker(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    patient = Retry(2, backoff=600, max_backoff=600)
    waiting = []
    for _ in range(5):
        future, actor = stage.start(pool, fn=task(jobs.act, retry=patient))
        actor.tell("fail")
        waiting.append(future)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    give_up = monotonic() + WAIT
    while (stats := pool.stats()).retrying < 5:  # errors of processes are loaded on a thread of their own
        assert monotonic() < give_up, stats
        threading.Event().wait(0.01)
    assert (stats.retrying, stats.running, stats.waiting) == (5, 0, 0) and stats.balanced
    for future in waiting:
        assert not future.done() and not future.running()
        assert future.cancel()


def test_a_retry_gets_in_though_the_queue_is_full(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    future, actor = stage.start(pool, fn=task(jobs.act, retry=Retry(2, backoff=0)))
    queued = pool.submit(jobs.act, stage.address, "queued")
    actor.tell("fail")
    stage.enter().tell("return")
    stage.enter().tell("return")
    assert {future.result(WAIT), queued.result(WAIT)} == {"actor", "queued"}
    assert pool.try_submit(jobs.same, 1).result(WAIT) == 1


def test_the_pool_s_default_and_the_task_s_own(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    pool = make_pool(2, retry=Retry(2, backoff=0))
    default = pool.submit(jobs.always_fail, str(tmp_path / "one"))
    own = pool.submit(task(jobs.always_fail, retry=Retry(4, backoff=0)), str(tmp_path / "two"))
    none = pool.submit(task(jobs.always_fail, retry=Retry(1)), str(tmp_path / "three"))
    for future in (default, own, none):
        future.exception(WAIT)
    assert (default.attempts, own.attempts, none.attempts) == (2, 4, 1)


def test_each_attempt_has_a_time_limit_of_its_own(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=100, retry=Retry(2, backoff=0)))
    first = actor.ask("facts")["deadline"]
    actor.tell("fail")
    second = stage.enter()
    assert second.ask("facts")["deadline"] > first
    second.tell("return")
    assert future.result(WAIT) == "actor"


def test_many_retries_at_once(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    again = task(jobs.fail_if_odd, retry=Retry(3, backoff=0.001, jitter=True))
    batch = [pool.submit(again, number) for number in range(200)]
    assert [future.exception(WAIT) is None for future in batch] == [number % 2 == 0 for number in range(200)]
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded, stats.failed, stats.retries) == (200, 100, 100, 200)
