"""Errors are that job's alone, come out whole, and are never lost."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import gc
import logging
import sys
import traceback
import unittest.mock
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import pytest

from steadypool import JobExit, Outcome, PoolClosed, PoolState, RemoteError, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

OTHER_LOOP = pytest.mark.differs_on("asyncio", "awaited on another loop than the pool's")


def test_the_traceback_is_whole(pool: Any) -> None:
    error = pool.submit(jobs.fail_deep, 3).exception(WAIT)
    assert isinstance(error, ZeroDivisionError)
    text = "".join(traceback.format_exception(error))
    assert text.count("in fail_deep") >= 4 or "Previous line repeated" in text
    assert "1 / 0" in text


def test_cause_and_notes_stay(pool: Any) -> None:
    error = pool.submit(jobs.fail_because).exception(WAIT)
    assert isinstance(error, LookupError) and error.args == ("the effect",)
    assert error.__notes__ == ["a note"]
    assert isinstance(error.__cause__, ValueError) and error.__cause__.args == ("the cause",)


def test_an_exception_with_an_init_of_its_own(pool: Any) -> None:
    error = pool.submit(jobs.fail_with_two_arguments).exception(WAIT)
    assert isinstance(error, jobs.TwoArguments)
    assert (error.code, str(error)) == (404, "404: not found")


@pytest.mark.parametrize(
    ("fn", "args", "code"),
    [(jobs.leave, (3,), 3), (jobs.leave, ("bye",), "bye"), (jobs.leave, (), None),
     (jobs.fail_with, (KeyboardInterrupt(),), 130)],
)  # fmt: skip
def test_an_exit_is_the_job_s_failure_and_nothing_else(pool: Any, fn: Any, args: Any, code: object) -> None:
    future = pool.submit(fn, *args)
    with pytest.raises(JobExit) as caught:
        future.result(WAIT)
    assert caught.value.code == code
    assert isinstance(caught.value.__cause__, SystemExit | KeyboardInterrupt)
    assert future.outcome is Outcome.FAILED
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


def test_any_base_exception_is_the_job_s_failure(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    for error in (jobs.Odd("odd"), MemoryError(), RecursionError("deep"), BaseExceptionGroup("odd", [jobs.Odd()])):
        future = pool.submit(jobs.fail_with, error)
        assert type(future.exception(WAIT)) is type(error)
        assert future.outcome is Outcome.FAILED
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.stats().failed == 4


@pytest.mark.parametrize(
    "error",
    [
        GeneratorExit("leave"),
        StopIteration(3),
        StopAsyncIteration(),
        asyncio.CancelledError("no more"),
        concurrent.futures.CancelledError(),
        BaseExceptionGroup("two", [ValueError("a"), KeyboardInterrupt()]),
        BaseExceptionGroup("nested", [ExceptionGroup("in it", [StopIteration()])]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.differs_on("asyncio", "see tests/pools/aio/test_submit.py")
def test_what_would_mean_something_to_the_caller_is_stood_in_for(pool: Any, error: BaseException) -> None:
    future = pool.submit(jobs.fail_with, error)
    stand_in = future.exception(WAIT)
    assert type(stand_in) is RemoteError and future.outcome is Outcome.FAILED
    assert stand_in.type_name.endswith(type(error).__name__)
    assert f"raised {type(error).__name__}" in str(stand_in) and "fail_with" in stand_in.traceback
    with pytest.raises(RemoteError):
        list(pool.map(jobs.fail_with, [error]))

    async def wait() -> None:
        await pool.submit(jobs.fail_with, error)

    with pytest.raises(RemoteError):
        asyncio.run(wait())
    (group,) = pool.errors()
    assert group.count == 3 and group.type_name == stand_in.type_name


@pytest.mark.differs_on("asyncio", "every function was made a coroutine function")
def test_a_coroutine_that_a_job_returns_is_its_failure(pool: Any) -> None:
    with pytest.raises(TypeError, match=r"returned a coroutine, of coroutine,.*AsyncPool"):
        pool.submit(jobs.give_coroutine).result(WAIT)


@pytest.mark.differs_on("asyncio", "it is taken: see tests/pools/aio/test_submit.py")
def test_what_says_that_it_is_a_coroutine_function_is_refused(pool: Any) -> None:
    with pytest.raises(TypeError, match="AsyncPool"):
        pool.submit(unittest.mock.AsyncMock())
    assert pool.stats().accepted == 0


def test_a_wrong_call_is_the_job_s_failure(pool: Any) -> None:
    assert isinstance(pool.submit(jobs.add, 1).exception(WAIT), TypeError)


def test_failures_do_not_cost_workers(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    for future in [pool.submit(jobs.leave, 1) for _ in range(100)]:
        future.exception(WAIT)
    assert pool.stats().workers <= 2
    assert [future.result(WAIT) for future in [pool.submit(jobs.same, n) for n in range(20)]] == list(range(20))


# -- the initializer


@pytest.mark.differs_on("asyncio", "there is no initializer")
def test_an_initializer_that_raises_fails_the_pool_clearly_and_once(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, initializer=jobs.fail, initargs=("no database",))
    try:
        batch = [pool.submit(jobs.nothing) for _ in range(5)]
    except PoolClosed:
        batch = []
    for future in batch:
        error = future.exception(WAIT)
        assert isinstance(error, PoolClosed) and isinstance(error, BrokenExecutor)
        assert "no database" in str(error)
        assert isinstance(error.__cause__, ValueError)
        assert future.outcome is Outcome.FAILED
    report = pool.drain(WAIT)
    assert report.state is PoolState.CLOSED and report.stats.balanced
    with pytest.raises(PoolClosed, match="no database"):
        pool.submit(jobs.nothing)


@pytest.mark.differs_on("asyncio", "there is no initializer")
def test_a_producer_that_is_blocked_hears_of_a_failing_initializer(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, queue_size=1, initializer=jobs.leave, initargs=(7,))
    with pytest.raises(PoolClosed, match="SystemExit"):
        for _ in range(100_000):
            pool.submit(jobs.nothing)


# -- the ledger


def test_the_ledger_groups_by_task_type_and_place(pool: Any) -> None:
    for number in range(5):
        pool.submit(jobs.fail, f"number {number}").exception(WAIT)
    for _ in range(2):
        pool.submit(jobs.fail_deep, 0).exception(WAIT)
    last = pool.submit(task(jobs.fail, name="mine", id="job-9"))
    last.exception(WAIT)
    groups = pool.errors()
    assert [(g.task, g.type_name, g.count) for g in groups] == [
        ("tests.pools.contract.jobs.fail", "ValueError", 5),
        ("tests.pools.contract.jobs.fail_deep", "ZeroDivisionError", 2),
        ("mine", "ValueError", 1),
    ]
    first = groups[0]
    assert "jobs.py" in first.where and first.where.endswith("in fail")
    assert first.message == "number 0" and "ValueError: number 0" in first.traceback
    assert 0 < first.first_seen <= first.last_seen
    assert len(first.job_ids) == 5
    assert groups[2].job_ids == ("job-9",)


def test_the_ledger_is_bounded(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    names = [f"task-{number}" for number in range(500)]
    for future in [pool.submit(task(jobs.fail, name=name), "x" * 100_000) for name in names]:
        future.exception(WAIT)
    for future in [pool.submit(task(jobs.fail, name="often")) for _ in range(200)]:
        future.exception(WAIT)
    groups = pool.errors()
    assert len(groups) <= 250
    assert groups[0].task == "often" and groups[0].count == 200
    assert len(groups[0].job_ids) <= 20
    assert sum(len(group.traceback) + len(group.message) for group in groups) < 250 * 30_000


def test_a_failure_is_in_the_ledger_before_anybody_waiting_wakes(pool: Any) -> None:
    for number in range(50):
        future = pool.submit(jobs.fail)
        future.exception(WAIT)
        assert pool.errors()[0].count == number + 1
        assert pool.stats().failed == number + 1


@pytest.mark.usefixtures("patient_stacks")
def test_a_time_limit_is_in_the_ledger_with_its_place(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    pool.submit(jobs.nothing).result(WAIT)  # or the limit might pass while its module is imported
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.5))
    future.exception(WAIT)
    [group] = pool.errors()
    assert group.type_name.endswith("JobTimeout") and ":" in group.where
    assert "in act" in group.traceback
    actor.tell("return")


def test_cancelled_and_returned_jobs_are_no_errors(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    future, actor = stage.start(pool)
    pool.submit(jobs.nothing).cancel()
    future.cancel(running=True)
    actor.tell("obey")
    future.exception(WAIT)
    assert pool.errors() == ()


# -- failures that nobody looked at


def unseen(caplog: pytest.LogCaptureFixture, pool: Any) -> list[logging.LogRecord]:
    """What was reported of this pool's jobs, all garbage collected."""
    gc.collect()
    mine = (f"job {pool.name}-", "job lost-1")
    return [r for r in caplog.records if r.name == "steadypool" and r.getMessage().startswith(mine)]


@pytest.mark.differs_on(
    "asyncio",
    "an eager task's failure is freed by the collector, and logged then: see tests/pools/aio/test_context.py",
    since=(3, 12),
)
def test_a_failure_nobody_looked_at_is_logged_once(pool: Any, caplog: pytest.LogCaptureFixture) -> None:
    pool.submit(task(jobs.fail, id="lost-1"), "nobody cares")
    pool.shutdown()
    [record] = unseen(caplog, pool)
    assert record.levelno == logging.ERROR
    assert "lost-1" in record.getMessage() and "tests.pools.contract.jobs.fail" in record.getMessage()
    assert "nobody cares" in caplog.text
    assert len(unseen(caplog, pool)) == 1


@pytest.mark.parametrize("look", ["result", "exception", "group", "map", pytest.param("await", marks=OTHER_LOOP)])
def test_a_failure_somebody_looked_at_is_not_logged(pool: Any, caplog: pytest.LogCaptureFixture, look: str) -> None:
    import asyncio

    with pytest.raises((ValueError, ExceptionGroup)):
        if look == "result":
            pool.submit(jobs.fail).result(WAIT)
        elif look == "exception":
            raise pool.submit(jobs.fail).exception(WAIT)
        elif look == "group":
            with pool.group() as group:
                group.submit(jobs.fail)
        elif look == "map":
            list(pool.map(jobs.fail, ["x"]))
        else:
            asyncio.run(pool.run(jobs.fail))
    pool.shutdown()
    assert unseen(caplog, pool) == []


def test_successes_and_cancels_are_not_logged(pool: Any, caplog: pytest.LogCaptureFixture, stage: Stage) -> None:
    pool.submit(jobs.nothing)
    stage.occupy(pool, 2)
    pool.submit(jobs.nothing).cancel()
    pool.submit(jobs.nothing)
    pool.request_drain(0)
    stage.close()
    pool.drain(0)
    assert unseen(caplog, pool) == []


@pytest.mark.skipif(
    sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2),
    reason="a fault of these CPythons: any Python code that runs within ast.parse() may break it",
)
def test_the_report_disturbs_no_code_that_the_garbage_collector_interrupts(pool: Any) -> None:
    # A finalizer may run in the middle of anything; in CPython before 3.11.8, formatting a traceback within
    # ast.parse() breaks that ast.parse().
    source = "x = [" + "(1 + 2) * f(3, *a, **b)," * 2000 + "]"
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(3):
            future = pool.submit(jobs.fail, "seen by nobody")
            pool.submit(jobs.nothing).result(WAIT)
            future.itself = future  # only the collector frees it
            del future
            ast.parse(source)
    finally:
        gc.set_threshold(*threshold)
