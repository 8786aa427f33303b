"""A time limit stops the work, also in C code that holds the GIL, and takes the job's children along."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobCancelled, JobTimeout, Outcome, Retry, task
from steadypool.model import events
from tests.patience import eventually
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.remains import is_dead, open_watch, wait_gone
from tests.pools.processes.warming import known_pids, warm

MakePool = Callable[..., Any]


@on_each_parent
@pytest.mark.usefixtures("patient_stacks")
@pytest.mark.parametrize("hog", [deeds.count_for_ever, deeds.match_for_ever], ids=["sum", "re"])
def test_c_code_that_holds_the_gil_is_killed(make_pool: MakePool, stage: Stage, hog: Any) -> None:
    pool = warm(make_pool(2, cancel_grace=0.1))
    before = pool.worker_pids()
    sibling, actor = stage.start(pool)
    watch = Watch(pool)
    future = pool.submit(task(hog, timeout=0.6))
    error = future.exception(WAIT)
    assert isinstance(error, JobTimeout)
    assert (error.limit, error.seconds, error.job_id) == ("timeout", 0.6, future.job_id)
    assert f"in {hog.__name__}" in error.stack
    assert error.stack.rstrip() in str(error)
    assert future.outcome is Outcome.TIMED_OUT

    ended = watch.wait_for(events.WorkerEnded)
    assert [event.reason for event in ended] == ["killed"]
    watch.wait_for(events.WorkerStarted)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    actor.tell("return")
    assert sibling.result(WAIT) == "actor"
    assert len(set(before) & set(pool.worker_pids())) == 1
    stats = pool.stats()
    assert (stats.timed_out, stats.restarts, stats.crashed) == (1, 1, 0)
    [group] = pool.errors()
    assert hog.__name__ in group.where or "re" in group.where


@on_each_parent
def test_cancel_of_a_running_job_is_as_hard(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    future = pool.submit(deeds.count_on_stage, stage.address)
    stage.enter()
    [pid] = known_pids(pool)
    watch = open_watch(pid)
    assert watch is not None
    assert future.cancel(running=True)
    assert isinstance(future.exception(WAIT), JobCancelled)
    assert future.outcome is Outcome.CANCELLED
    assert is_dead(watch, WAIT)
    os.close(watch)
    assert pool.submit(deeds.pid).result(WAIT) != pid


def test_a_stopped_process_is_killed(make_pool: MakePool, stage: Stage) -> None:
    """It can take no stack and see no cancellation."""
    pool = make_pool(1, cancel_grace=0.1)
    # It is not waited for on the stage: on a busy machine it may be killed before it has come there.
    future = pool.submit(task(deeds.stop_process, timeout=0.2), stage.address)
    assert isinstance(future.exception(WAIT), JobTimeout)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


@on_each_parent
@pytest.mark.parametrize("told", ["cancel", "limit"])
@pytest.mark.parametrize("waits", [deeds.spin_until_told, deeds.sleep_until_told])
def test_the_worker_sees_that_it_is_told(make_pool: MakePool, stage: Stage, told: str, waits: Any) -> None:
    """Seen by the job itself, long before the grace is over: the worker lives on."""
    pool = make_pool(1, cancel_grace=60)
    future = pool.submit(task(waits, timeout=0.1 if told == "limit" else None), stage.address)
    stage.enter()
    [pid] = known_pids(pool)
    if told == "cancel":
        assert future.cancel(running=True)
        if future.exception(WAIT) is None:
            assert future.result() == "cancelled"
    else:
        assert isinstance(future.exception(WAIT), JobTimeout)
    assert pool.submit(deeds.pid).result(WAIT) == pid
    assert pool.stats().restarts == 0


def test_being_told_is_for_one_job_only(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=60)
    for _ in range(20):
        future = pool.submit(deeds.sleep_until_told, stage.address)
        stage.enter()
        future.cancel(running=True)
        following, actor = stage.start(pool)
        assert actor.ask("cause") is None
        assert actor.ask("sleep a little") is True
        actor.tell("return")
        assert following.result(WAIT) == "actor"


@on_each_parent
def test_a_killed_jobs_children_are_killed_too(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    future = pool.submit(deeds.with_child, stage.address)
    child = int(stage.enter().name)
    watch = open_watch(child)
    assert watch is not None
    assert future.cancel(running=True)
    assert isinstance(future.exception(WAIT), JobCancelled)
    assert is_dead(watch, WAIT)
    os.close(watch)


def test_the_grace_lets_a_job_clean_up(make_pool: MakePool, stage: Stage, tmp_path: Path) -> None:
    pool = make_pool(1, cancel_grace=WAIT)
    log = str(tmp_path / "log")
    future = pool.submit(task(deeds.clean_up, timeout=0.1), stage.address, log)
    assert isinstance(future.exception(WAIT), JobTimeout)
    assert pool.submit(jobs.lines, log).result(WAIT) == ["cleaned up: timeout"]
    assert pool.stats().restarts == 0


def test_retry_on_a_time_limit_waits_for_the_kill(make_pool: MakePool, tmp_path: Path) -> None:
    """The old attempt has ended when the next one starts."""
    pool = make_pool(2, cancel_grace=0.1)
    log = str(tmp_path / "log")
    hang = task(deeds.note_pid_and_hang, timeout=0.8, retry=Retry(20, on=JobTimeout, backoff=0.0))
    future = pool.submit(hang, log)
    assert future.result(WAIT) == "the others are dead"
    pids = jobs.lines(log)
    assert 3 <= len(pids) == len(set(pids)) <= future.attempts  # more than three on a busy machine


def test_what_waits_behind_a_hog_goes_elsewhere(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    future = pool.submit(task(deeds.count_on_stage, timeout=0.5), stage.address)
    behind = [pool.submit(jobs.same, number) for number in range(5)]
    assert isinstance(future.exception(WAIT), JobTimeout)
    assert [job.result(WAIT) for job in behind] == list(range(5))
    assert {job.attempts for job in behind} == {1}


def test_the_limit_counts_from_the_start_of_the_job(make_pool: MakePool, stage: Stage) -> None:
    """Not from when it was sent to its worker, where it may lie behind another."""
    pool = make_pool(1, queue_size=10)
    [(first, actor)] = stage.occupy(pool)
    limited = [pool.submit(task(jobs.sleep, timeout=5.0), 0.0) for _ in range(3)]
    actor.tell("return")
    assert first.result(WAIT) == "busy-0"
    assert [future.result(WAIT) for future in limited] == [0.0] * 3


def test_a_worker_killed_by_others_while_it_is_told_counts_as_told(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=60)
    future, actor = stage.start(pool)
    pid, _ = actor.ask("worker")
    assert future.cancel(running=True)
    os.kill(pid, signal.SIGKILL)
    assert isinstance(future.exception(WAIT), JobCancelled)
    assert pool.submit(deeds.pid).result(WAIT) != pid


def test_a_program_that_a_job_starts_can_be_interrupted(make_pool: MakePool) -> None:
    """Workers ignore SIGINT and SIGTERM; what they start does not inherit that."""
    pool = make_pool(1)
    for name in ("INT", "TERM"):
        code = pool.submit(deeds.run, "sh", "-c", f"kill -{name} $$; sleep 600").result(WAIT)
        assert code == -getattr(signal, f"SIG{name}")


def test_gone_is_gone(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(2, cancel_grace=0.1))
    futures = [pool.submit(task(deeds.ignore_all, timeout=1.0), stage.address) for _ in range(4)]
    for _ in range(2):
        stage.enter()
    pids = pool.worker_pids()
    for future in futures:
        assert isinstance(future.exception(WAIT), JobTimeout)
    pool.drain(WAIT)
    assert wait_gone(*pids) == []


def test_the_total_limit_ends_a_job_that_is_about_to_be_sent(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    workers = known_pids(pool)

    class CarriesLate:
        """Answers once the job's limit is over."""

        def __call__(self, event: object) -> None:
            """It is there to carry."""

        def carry(self, job: events.JobEvent) -> None:
            eventually(lambda: pool.stats().timed_out == 1)

    unsubscribe = pool.subscribe(CarriesLate())
    late = pool.submit(task(jobs.same, total_timeout=0.05), "late")
    assert late.exception(WAIT).limit == "total_timeout"
    unsubscribe()
    assert pool.submit(jobs.same, "next").result(WAIT) == "next"
    assert known_pids(pool) == workers
