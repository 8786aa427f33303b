"""Cancelling: what waits at once, what runs by telling it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from steadypool import JobCancelled, Outcome, Retry, task
from tests.patience import LONG, WAIT
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage


def test_a_waiting_job_is_cancelled_at_once(make_pool: Callable[..., Any], stage: Stage, tmp_path: Any) -> None:
    pool = make_pool(1)
    path = str(tmp_path / "notes")
    [(_, actor)] = stage.occupy(pool)
    plain, ranked = pool.submit(jobs.note, path), pool.submit(task(jobs.note, priority=5), path)
    for future in (plain, ranked):
        assert future.cancel() and future.cancel()
        assert future.cancelled() and future.done() and not future.running()
        assert (future.outcome, future.attempts) == (Outcome.CANCELLED, 0)
        with pytest.raises(JobCancelled, match="before it started") as caught:
            future.result()
        assert isinstance(caught.value, CancelledError)
        assert (caught.value.cause, caught.value.job_id) == ("cancelled", future.job_id)
        with pytest.raises(CancelledError):
            future.exception()
    actor.tell("return")
    pool.shutdown()
    assert jobs.lines(path) == []


def test_a_running_job_is_left_alone_unless_running_is_said(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    assert not future.cancel()
    assert future.running() and not future.cancelled()
    assert actor.ask("cause") is None
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_a_running_job_is_told(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool)
    assert future.cancel(running=True) and future.cancel(running=True)
    assert actor.ask("told")[1] == "cancelled"
    assert not future.done()
    actor.tell("obey")
    with pytest.raises(JobCancelled):
        future.result(WAIT)
    assert isinstance(future.exception(), JobCancelled)
    assert (future.outcome, future.cancelled(), future.attempts) == (Outcome.CANCELLED, False, 1)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert (pool.stats().stuck, pool.stats().cancelled) == (0, 1)


def test_what_returns_within_the_grace_still_counts(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool)
    future.cancel(running=True)
    actor.tell("finish when told")
    assert future.result(WAIT) == "finished though cancelled"
    assert future.outcome is Outcome.SUCCEEDED


def test_an_error_while_stopping_is_the_cause(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool)
    future.cancel(running=True)
    actor.tell("fail when told")
    error = future.exception(WAIT)
    assert isinstance(error, JobCancelled) and isinstance(error.__cause__, OSError)


def test_a_job_that_ignores_it_is_given_up_after_the_grace(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    future, _ = stage.start(pool)
    assert future.cancel(running=True)
    with pytest.raises(JobCancelled):
        future.result(WAIT)
    assert future.outcome is Outcome.CANCELLED
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


def test_a_cancelled_job_is_not_retried(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool, fn=task(jobs.act, retry=Retry(5, on=BaseException, backoff=0)))
    future.cancel(running=True)
    actor.tell("obey")
    assert isinstance(future.exception(WAIT), JobCancelled)
    assert future.attempts == 1


def test_a_job_between_two_attempts_is_cancelled_at_once(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    future, actor = stage.start(pool, fn=task(jobs.act, retry=Retry(2, backoff=600, max_backoff=600)))
    actor.tell("fail")
    pool.submit(jobs.nothing).result(WAIT)  # its worker is free again
    assert pool.stats().retrying == 1
    assert future.cancel()
    error = future.exception(WAIT)
    assert isinstance(error, JobCancelled) and isinstance(error.__cause__, ValueError)
    assert (future.outcome, future.attempts, future.cancelled()) == (Outcome.CANCELLED, 1, False)
    assert pool.stats().retrying == 0


def test_an_ended_job_cannot_be_cancelled(pool: Any) -> None:
    future = pool.submit(jobs.same, 1)
    future.result(WAIT)
    assert not future.cancel() and not future.cancel(running=True)
    assert future.result() == 1


def test_cancels_race_with_the_workers(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    batch: list[Any] = []
    submitted = [threading.Semaphore(0), threading.Semaphore(0)]

    def cancel_all(go_on: threading.Semaphore) -> None:
        for number in range(600):
            go_on.acquire(timeout=WAIT)
            batch[number].cancel(running=number % 2 == 0)

    cancellers = [threading.Thread(target=cancel_all, args=(go_on,), daemon=True) for go_on in submitted]
    for thread in cancellers:
        thread.start()
    for number in range(600):
        batch.append(pool.submit(jobs.same, number))
        for go_on in submitted:
            go_on.release()
    for thread in cancellers:
        thread.join(WAIT)
    for number, future in enumerate(batch):
        error = None if future.cancelled() else future.exception(WAIT)
        assert future.outcome in (Outcome.SUCCEEDED, Outcome.CANCELLED)
        assert future.cancelled() or error is not None or future.result() == number
    report = pool.drain(WAIT)
    assert report.stats.succeeded + report.stats.cancelled == 600


def test_a_cause_of_the_canceller_s_own(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    assert future.cancel(running=True, cause="lease_lost")
    assert actor.ask("told")[1] == "lease_lost"
    actor.tell("obey")
    with pytest.raises(JobCancelled, match="its lease was lost") as caught:
        future.result(WAIT)
    assert caught.value.cause == "lease_lost" and future.outcome is Outcome.CANCELLED
