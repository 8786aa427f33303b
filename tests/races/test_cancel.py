"""A cancel against whatever else may happen to the job at that moment."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

import pytest

from steadypool import JobCancelled, JobFuture, Outcome, Retry, ThreadPool, current_job, task
from tests.patience import LONG, WAIT
from tests.races.arena import duel, pool_of
from tests.races.books import check_final

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 500


@dataclass
class HeldClaim:
    """A job in the queue of a pool of one, behind one that waits for ``gate``."""

    future: JobFuture[Any]
    gate: threading.Event = field(default_factory=threading.Event)
    ran: list[int] = field(default_factory=list)


def hold(pool: ThreadPool, futures: list[JobFuture[Any]]) -> HeldClaim:
    held = HeldClaim(None)  # type: ignore[arg-type]
    first = pool.submit(held.gate.wait, WAIT)
    held.future = pool.submit(held.ran.append, 1)
    futures += [first, held.future]
    return held


def test_cancel_against_start() -> None:
    futures: list[JobFuture[Any]] = []

    def check(held: HeldClaim, results: list[Any]) -> None:
        _, cancelled = results
        if cancelled:
            assert held.future.cancelled() and held.future.outcome is Outcome.CANCELLED
            with pytest.raises(CancelledError):
                held.future.result(WAIT)
        else:
            assert held.future.result(WAIT) is None
        assert len(held.ran) == (0 if cancelled else 1)

    with pool_of(1) as pool:
        duel(ROUNDS, lambda _: hold(pool, futures), (lambda h: h.gate.set(), lambda h: h.future.cancel()), check)
    check_final(pool.stats(), futures)


def test_two_cancels_and_a_start_with_running() -> None:
    futures: list[JobFuture[Any]] = []

    def check(held: HeldClaim, results: list[Any]) -> None:
        told = any(results[1:])
        try:
            held.future.result(WAIT)
        except JobCancelled:
            assert told and held.future.outcome is Outcome.CANCELLED and not held.ran
        else:
            assert held.future.outcome is Outcome.SUCCEEDED and held.ran == [1]

    with pool_of(1) as pool:
        duel(
            ROUNDS,
            lambda _: hold(pool, futures),
            (lambda h: h.gate.set(), lambda h: h.future.cancel(running=True), lambda h: h.future.cancel(running=True)),
            check,
        )
    check_final(pool.stats(), futures)


@dataclass
class Started:
    """A job that runs and waits for ``gate``."""

    future: JobFuture[Any]
    gate: threading.Event = field(default_factory=threading.Event)


def start(pool: ThreadPool, futures: list[JobFuture[Any]], fn: Any) -> Started:
    started = Started(None)  # type: ignore[arg-type]
    runs = threading.Event()

    def body() -> Any:
        runs.set()
        assert started.gate.wait(WAIT)
        return fn()

    started.future = pool.submit(task(body, retry=fn.task_options.retry) if hasattr(fn, "task_options") else body)
    futures.append(started.future)
    assert runs.wait(WAIT)
    return started


def obey() -> str:
    current_job().raise_if_cancelled()
    return "done"


def test_cancel_running_against_its_end() -> None:
    futures: list[JobFuture[Any]] = []

    def check(started: Started, results: list[Any]) -> None:
        error = started.future.exception(WAIT)
        if error is None:
            assert started.future.outcome is Outcome.SUCCEEDED and started.future.result() == "done"
        else:
            assert isinstance(error, JobCancelled) and error.cause == "cancelled" and results[1]
            assert started.future.outcome is Outcome.CANCELLED and not started.future.cancelled()

    with pool_of(2) as pool:
        duel(
            ROUNDS,
            lambda _: start(pool, futures, obey),
            (lambda s: s.gate.set(), lambda s: s.future.cancel(running=True)),
            check,
        )
    check_final(pool.stats(), futures)


@task(retry=Retry(2, on=OSError, backoff=LONG, max_backoff=LONG))
def fail_for_long() -> None:
    raise OSError("the first attempt")


def test_cancel_running_against_a_failure_that_would_be_retried() -> None:
    """Whichever place the job is in, hand or agenda, the cancel ends it now and not when the retry is due."""
    futures: list[JobFuture[Any]] = []

    def check(started: Started, results: list[Any]) -> None:
        assert results[1] is True
        with pytest.raises(JobCancelled):
            started.future.result(WAIT)
        assert started.future.outcome is Outcome.CANCELLED and started.future.attempts == 1

    pool = ThreadPool(2)
    try:
        duel(
            ROUNDS,
            lambda _: start(pool, futures, fail_for_long),
            (lambda s: s.gate.set(), lambda s: s.future.cancel(running=True)),
            check,
        )
    finally:
        pool.drain(0)
    check_final(pool.stats(), futures)


def test_cancel_against_a_retry_that_is_due() -> None:
    """A job between two attempts is cancelled, or runs again: nothing else."""
    futures: list[JobFuture[Any]] = []
    failed = threading.Semaphore(0)

    @task(retry=Retry(2, on=OSError, backoff=0.0005, jitter=False))
    def shaky() -> str:
        if current_job().attempt == 1:
            failed.release()
            raise OSError("the first attempt")
        return "done"

    def prepare(_: int) -> JobFuture[str]:
        future = pool.submit(shaky)
        futures.append(future)
        return future

    def cancel(future: JobFuture[str]) -> bool:
        assert failed.acquire(timeout=WAIT)
        return future.cancel()

    def check(future: JobFuture[str], results: list[Any]) -> None:
        if results[0]:
            assert future.outcome is Outcome.CANCELLED and future.attempts == 1
        else:
            assert future.result(WAIT) == "done" and future.attempts == 2

    with pool_of(2) as pool:
        duel(ROUNDS, prepare, (cancel,), check)
    check_final(pool.stats(), futures)
