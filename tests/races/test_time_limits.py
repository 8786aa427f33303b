"""A time limit against the end, the failure or the start of the job at the same moment."""

from __future__ import annotations

import random
import threading
from concurrent.futures import wait
from time import monotonic
from typing import Any

import pytest

from steadypool import JobFuture, JobTimeout, Outcome, Retry, ThreadPool, current_job, task
from tests.patience import WAIT
from tests.races.arena import pool_of
from tests.races.books import check_final, check_sample

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 250  # in each of the two ways of switching
LIMIT = 0.002
chance = random.Random(1)


def spin_until_deadline() -> None:
    """Be busy until a moment just before, at or after the deadline of the running job."""
    deadline = current_job().deadline
    assert deadline is not None
    until = deadline + chance.uniform(-0.0003, 0.0003)
    while monotonic() < until:
        pass


def settle_all(pool: ThreadPool, futures: list[JobFuture[Any]]) -> None:
    for future in futures:
        future.exception(WAIT)
        check_sample(pool.stats())


def test_timeout_against_return() -> None:
    @task(timeout=LIMIT)
    def end_at_the_limit() -> str:
        spin_until_deadline()
        return "in time"

    with pool_of(2) as pool:
        futures = [pool.submit(end_at_the_limit) for _ in range(ROUNDS)]
        settle_all(pool, futures)
    for future in futures:
        if future.outcome is Outcome.SUCCEEDED:
            assert future.result() == "in time"
        else:
            assert future.outcome is Outcome.TIMED_OUT and isinstance(future.exception(), JobTimeout)
    check_final(pool.stats(), futures)
    assert pool.stats().stuck == 0


@pytest.mark.parametrize("on", [OSError, (OSError, JobTimeout)], ids=["errors", "errors-and-timeouts"])
def test_timeout_against_a_failure_that_is_retried(on: Any) -> None:
    """Like a socket with the same time limit as its job. The job ends as one or the other, never as something else."""
    attempts: dict[str, int] = {}

    @task(timeout=LIMIT, retry=Retry(2, on=on, backoff=0.0))
    def fail_at_the_limit() -> str:
        job = current_job()
        attempts[job.id] = job.attempt
        if job.attempt == 1:
            spin_until_deadline()
            raise OSError("timed out")
        return "second"

    with pool_of(2) as pool:
        futures = [pool.submit(fail_at_the_limit) for _ in range(ROUNDS)]
        settle_all(pool, futures)
    for future in futures:
        if future.outcome is Outcome.SUCCEEDED:
            assert future.result() == "second" and future.attempts == attempts[future.job_id] == 2
        else:
            # The second attempt has the same limit, on a busy machine it may reach it.
            assert future.outcome is Outcome.TIMED_OUT, future
            assert isinstance(future.exception(), JobTimeout)
    check_final(pool.stats(), futures)


def test_total_timeout_against_start() -> None:
    """A job that waits for its worker until its total time is up, more or less."""
    ran: set[int] = set()

    @task(total_timeout=LIMIT)
    def body(number: int) -> int:
        ran.add(number)
        return number

    futures: list[JobFuture[Any]] = []
    with pool_of(1) as pool:
        for number in range(ROUNDS):
            gate = threading.Event()
            futures.append(pool.submit(gate.wait, WAIT))
            until = monotonic() + LIMIT + chance.uniform(-0.0003, 0.0003)
            future = pool.submit(body, number)
            futures.append(future)
            while monotonic() < until:
                pass
            gate.set()
            if future.exception(WAIT) is None:
                assert future.result() == number and number in ran
            else:
                assert future.outcome is Outcome.TIMED_OUT
                assert isinstance(future.exception(), JobTimeout)
                assert number not in ran or future.attempts == 1
    check_final(pool.stats(), futures)


def test_cancel_against_timeout_leaves_one_outcome() -> None:
    @task(timeout=LIMIT)
    def obey() -> None:
        while not current_job().sleep(1.0):
            current_job().raise_if_cancelled()

    with pool_of(2) as pool:
        futures = []
        for _ in range(ROUNDS):
            until = monotonic() + LIMIT + chance.uniform(-0.0003, 0.0003)
            future = pool.submit(obey)
            futures.append(future)
            while monotonic() < until:
                pass
            future.cancel(running=True)
            wait([future], WAIT)
            assert future.outcome in (Outcome.TIMED_OUT, Outcome.CANCELLED)
    check_final(pool.stats(), futures)


def test_a_job_never_loses_sight_of_itself() -> None:
    """At its limit a job is taken from its worker, but `current_job` is that job until it has ended."""
    lost: list[str] = []

    @task(timeout=LIMIT)
    def look() -> None:
        own = current_job().id
        while True:
            job = current_job()
            if job.id != own:
                lost.append(f"{own} saw {job!r}")
                break
            if job.cancelled:
                break

    with pool_of(2) as pool:
        futures = [pool.submit(look) for _ in range(ROUNDS)]
        settle_all(pool, futures)
    assert not lost
    check_final(pool.stats(), futures)
