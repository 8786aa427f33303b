"""Jobs that belong together: nothing outlives the block."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobCancelled, Outcome, PoolClosed, Retry, task
from tests.patience import LONG, WAIT
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage


def test_the_block_ends_when_every_job_has(pool: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    with pool.group() as group:
        batch = [group.submit(jobs.note, path, str(number)) for number in range(20)]
    assert all(future.done() for future in batch)
    assert len(jobs.lines(path)) == 20
    with pytest.raises(RuntimeError, match="ended"):
        group.submit(jobs.nothing)


def test_an_empty_group(pool: Any) -> None:
    with pool.group():
        pass


def test_the_first_error_cancels_the_siblings_and_comes_out(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            sibling = group.submit(jobs.obey, stage.address)
            stage.enter()
            failing = group.submit(jobs.act, stage.address)
            actor = stage.enter()
            queued = group.submit(jobs.nothing)
            actor.tell("fail")
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    again = pickle.loads(pickle.dumps(caught.value))
    assert repr(again) == repr(caught.value) and "told to fail" in repr(again)
    assert (failing.outcome, sibling.outcome) == (Outcome.FAILED, Outcome.CANCELLED)
    assert queued.outcome in (Outcome.CANCELLED, Outcome.SUCCEEDED)  # it may have got the failing one's worker
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


def test_all_errors_come_out_together(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, cancel_grace=LONG)
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            for name in "abc":
                group.submit(jobs.act, stage.address, name)
            actors = stage.enter_many(3)
            actors["a"].tell("fail")
            assert actors["b"].ask("told")[1] == "cancelled"
            actors["b"].tell("obey")
            actors["c"].tell("finish when told")
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


def test_an_error_in_the_block_cancels_the_jobs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            future = group.submit(jobs.obey, stage.address)
            stage.enter()
            raise LookupError("in the block")
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert future.outcome is Outcome.CANCELLED


def test_a_jobs_own_error_raised_by_the_block_is_listed_once(pool: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            group.submit(jobs.fail).result(WAIT)
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


def test_each_error_is_listed_once_whoever_sees_it_first(pool: Any) -> None:
    """The wait at the end of the block and the job's callback race for it."""
    for _ in range(200):
        with pytest.raises(ExceptionGroup) as caught:
            with pool.group() as group:
                failing = group.submit(jobs.fail)
        assert list(caught.value.exceptions) == [failing.exception()]


def test_an_interrupt_in_the_block_stays_what_it_is(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    with pytest.raises(KeyboardInterrupt):
        with pool.group() as group:
            future = group.submit(jobs.obey, stage.address)
            stage.enter()
            raise KeyboardInterrupt
    assert future.done()


def test_a_job_cancelled_by_hand_is_no_error(pool: Any, stage: Stage) -> None:
    with pool.group() as group:
        busy = [group.submit(jobs.act, stage.address, str(number)) for number in range(2)]
        actors = stage.enter_many(2)
        queued = group.submit(jobs.nothing)
        assert queued.cancel()
        for actor in actors.values():
            actor.tell("return")
    assert [future.result() for future in busy] == ["0", "1"]


def test_a_job_that_succeeds_at_a_later_attempt_is_no_error(pool: Any, tmp_path: Any) -> None:
    again = task(jobs.fail_until, retry=Retry(3, backoff=0))
    with pool.group() as group:
        future = group.submit(again, str(tmp_path / "notes"), 3)
    assert future.result() == 3


def test_a_submit_to_an_ending_group_says_so(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            failed = group.submit(jobs.fail)
            failed.exception(WAIT)
            settled = threading.Event()
            failed.add_done_callback(lambda _: settled.set())
            assert settled.wait(WAIT)
            while True:
                group.submit(jobs.nothing)
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


def test_a_drain_under_a_group_comes_out(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    with pytest.raises(ExceptionGroup) as caught:
        with pool.group() as group:
            group.submit(jobs.obey, stage.address)
            stage.enter()
            group.submit(jobs.nothing)
            pool.request_drain(0)
    assert all(isinstance(error, JobCancelled) for error in caught.value.exceptions)
    with pytest.raises((PoolClosed, ExceptionGroup)):
        with pool.group() as group:
            group.submit(jobs.nothing)


def test_a_group_waits_for_a_stubborn_job_no_longer_than_the_grace(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.05)
    with pytest.raises(ExceptionGroup):
        with pool.group() as group:
            stubborn = group.submit(jobs.act, stage.address)
            stage.enter()
            group.submit(jobs.fail)
    assert stubborn.outcome is Outcome.CANCELLED
