"""A drain always ends, and accounts for every job."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import DrainReport, JobCancelled, Outcome, PoolClosed, PoolState, Retry, task
from tests.patience import LONG, WAIT, takes
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage
from tests.pools.contract.test_queue import in_thread


def test_an_idle_pool_and_one_that_was_never_used(pool: Any) -> None:
    report = pool.drain(5)
    assert isinstance(report, DrainReport)
    assert report.state is pool.state is PoolState.CLOSED
    assert report.ok and report.on_time and report.elapsed < 5
    assert (report.unfinished, report.interrupted, report.stuck, report.errors) == ((), (), (), ())
    assert report.stats.accepted == 0 and report.name == pool.name
    with pytest.raises(PoolClosed):
        pool.submit(jobs.nothing)


def test_everything_ends_in_time(pool: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    batch = [pool.submit(jobs.note, path) for _ in range(50)]
    report = pool.drain(WAIT)
    assert report.ok and report.on_time
    assert all(future.done() for future in batch) and len(jobs.lines(path)) == 50
    assert (report.stats.accepted, report.stats.succeeded) == (50, 50)


def test_without_a_limit_it_waits_for_every_job(pool: Any, stage: Stage) -> None:
    (_, actor), queued = stage.start(pool), pool.submit(jobs.same, 3)
    thread, ended = in_thread(pool.drain)
    thread.join(0.05)
    assert thread.is_alive()
    actor.tell("return")
    thread.join(WAIT)
    assert ended[0].ok and queued.result() == 3


def test_failed_jobs_are_in_the_report_and_it_is_on_time(pool: Any) -> None:
    future = pool.submit(jobs.fail)
    report = pool.drain(WAIT)
    assert report.on_time and report.ok
    assert [(group.type_name, group.count) for group in report.errors] == [("ValueError", 1)]
    assert isinstance(future.exception(), ValueError)


def test_what_is_not_done_in_time_is_accounted_for(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.3)
    obedient, actor = stage.start(pool, "obedient", task(jobs.act, id="o"))
    stubborn, _ = stage.start(pool, "stubborn", task(jobs.act, id="s"))
    actor.tell("obey")
    waiting = [pool.submit(task(jobs.everything, id=f"w{n}"), n, key="a value") for n in range(3)]
    done = threading.Event()
    waiting[0].add_done_callback(lambda _: done.set())
    began = time.monotonic()
    with takes(0.2 + 0.3):
        report = pool.drain(timeout=0.2)
    assert 0.2 <= report.elapsed <= time.monotonic() - began
    assert report.state is PoolState.CLOSED and not report.on_time and not report.ok
    assert [row.id for row in report.unfinished] == ["w0", "w1", "w2"]
    row = report.unfinished[1]
    assert (
        row.task == "tests.pools.contract.jobs.everything" and row.arguments == "(1, key='a value')" and row.waited > 0
    )
    assert sorted(row.id for row in report.interrupted) == ["o", "s"]
    assert all(row.attempts == 1 and row.running_for > 0 for row in report.interrupted)
    for future in waiting:
        assert future.outcome is Outcome.RETURNED and future.cancelled()
        with pytest.raises(JobCancelled) as caught:
            future.result(0)
        assert caught.value.cause == "shutdown"
    for future in (obedient, stubborn):
        assert future.outcome is Outcome.INTERRUPTED and not future.cancelled()
        error = future.exception(0)
        assert isinstance(error, JobCancelled) and error.cause == "shutdown"
    stats = report.stats
    assert (stats.accepted, stats.returned, stats.interrupted) == (5, 3, 2) and stats.balanced
    assert done.wait(WAIT)


def test_a_job_that_returns_when_told_has_succeeded(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool)
    actor.tell("finish when told")
    report = pool.drain(0)
    assert future.result(0) == "finished though shutdown"
    assert report.stats.succeeded == 1 and report.interrupted == () and report.stuck == ()


def test_a_job_that_raises_when_told_is_interrupted(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool)
    actor.tell("fail when told")
    report = pool.drain(0)
    assert future.outcome is Outcome.INTERRUPTED and len(report.interrupted) == 1
    assert isinstance(future.exception(0).__cause__, OSError)


@pytest.mark.parametrize("timeout", [0, 0.3])
def test_it_returns_on_time_with_jobs_that_never_end(
    make_pool: Callable[..., Any], stage: Stage, timeout: float
) -> None:
    pool = make_pool(4, cancel_grace=0.2)
    busy = stage.occupy(pool, 4)
    waiting = [pool.submit(jobs.nothing) for _ in range(500)]
    with takes(timeout + 0.2):
        report = pool.drain(timeout)
    assert all(future.done() for future in waiting) and all(future.done() for future, _ in busy)
    assert report.stats.balanced
    assert (report.stats.returned, report.stats.interrupted) == (500, 4)


def test_a_grace_of_zero(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0)
    stage.occupy(pool, 1)
    with takes(0):
        report = pool.drain(0)
    assert report.stats.interrupted == 1


def test_a_job_between_two_attempts_is_interrupted(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    future, actor = stage.start(pool, fn=task(jobs.act, retry=Retry(2, backoff=600, max_backoff=600)))
    actor.tell("fail")
    pool.submit(jobs.nothing).result(WAIT)
    with takes(0.1 + 1.0):
        report = pool.drain(0.1)
    assert [row.id for row in report.interrupted] == [future.job_id]
    assert report.interrupted[0].running_for == 0.0 and report.interrupted[0].attempts == 1
    error = future.exception(0)
    assert future.outcome is Outcome.INTERRUPTED and error.cause == "shutdown"
    assert isinstance(error.__cause__, ValueError)


def test_a_retry_that_comes_in_time_runs_while_draining(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool, fn=task(jobs.act, retry=Retry(2, backoff=0.01)))
    pool.request_drain(None)
    actor.tell("fail")
    stage.enter().tell("return")
    assert future.result(WAIT) == "actor"
    assert pool.drain(WAIT).on_time


def test_a_time_limit_still_holds_while_draining(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.1))
    actor.tell("obey")
    report = pool.drain()
    assert future.outcome is Outcome.TIMED_OUT
    assert report.stats.timed_out == 1 and report.on_time


def test_twice_gives_the_same_report(pool: Any) -> None:
    pool.submit(jobs.nothing)
    assert pool.drain(WAIT) is pool.drain(0) is pool.drain()


def test_from_two_threads_the_earliest_limit_holds(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    stage.occupy(pool, 1)
    patient, first = in_thread(lambda: pool.drain(600))
    patient.join(0.05)
    with takes(0.1 + 0.1):
        impatient, second = in_thread(lambda: pool.drain(0.1))
        patient.join(WAIT)
        impatient.join(WAIT)
    assert first[0] is second[0]


def test_a_drain_of_no_limit_is_ended_by_one_that_has(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    stage.occupy(pool, 1)
    patient, first = in_thread(pool.drain)
    patient.join(0.05)
    pool.request_drain(0)
    patient.join(WAIT)
    assert first[0].state is PoolState.CLOSED and len(first[0].interrupted) == 1


def test_many_threads_submit_while_it_drains(make_pool: Callable[..., Any]) -> None:
    for _ in range(10):
        pool = make_pool(2, queue_size=10)
        accepted: list[Any] = []
        begun = threading.Event()

        def submit(pool: Any = pool, accepted: list[Any] = accepted, begun: threading.Event = begun) -> None:
            while True:
                accepted.append(pool.submit(jobs.nothing))
                if len(accepted) > 20:
                    begun.set()

        producers = [in_thread(submit) for _ in range(3)]
        assert begun.wait(WAIT)
        report = pool.drain(WAIT)
        for thread, ended in producers:
            thread.join(WAIT)
            assert isinstance(ended[0], PoolClosed)
        assert report.stats.accepted == report.stats.succeeded == len(accepted)
        assert all(future.done() for future in accepted)


def test_stop_before_start_and_start_stop_stress(make_pool: Callable[..., Any]) -> None:
    for number in range(30):
        pool = make_pool(2)
        if number % 3:
            pool.submit(jobs.nothing)
        if number % 2:
            pool.shutdown(wait=False)
        assert pool.drain(WAIT).ok


@pytest.mark.parametrize("call", ["drain", "shutdown"])
@pytest.mark.differs_on("asyncio", "a callback on the loop cannot wait at all")
def test_waiting_for_it_in_a_done_callback_is_refused(pool: Any, stage: Stage, call: str) -> None:
    raised: list[Exception] = []
    called = threading.Event()

    def drain(_: Any) -> None:
        try:
            getattr(pool, call)()
        except RuntimeError as error:
            raised.append(error)
        finally:
            called.set()

    future, actor = stage.start(pool)
    future.add_done_callback(drain)
    actor.tell("return")
    assert called.wait(WAIT)
    assert "request_drain" in str(raised[0]) or "wait=False" in str(raised[0])
    assert pool.state is PoolState.OPEN


@pytest.mark.differs_on("asyncio", "a callback on the loop cannot wait")
def test_waiting_for_it_in_the_callback_of_a_job_that_was_timed_out_is_refused(
    make_pool: Callable[..., Any], stage: Stage
) -> None:
    pool = make_pool(1, cancel_grace=LONG)
    ended: list[Any] = []
    called = threading.Event()

    def drain(_: Any) -> None:
        try:
            ended.append(pool.drain(1))
        except RuntimeError as error:
            ended.append(error)
        finally:
            called.set()

    [(_, busy)] = stage.occupy(pool)
    future = pool.submit(task(jobs.act, timeout=0.05), stage.address)
    future.add_done_callback(drain)  # before the job begins, or the limit might pass first
    busy.tell("return")
    actor = stage.enter()
    assert called.wait(WAIT)
    assert isinstance(ended[0], RuntimeError)
    actor.tell("return")


def test_request_drain_in_a_done_callback(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    future.add_done_callback(lambda _: pool.request_drain(WAIT))
    actor.tell("return")
    future.result(WAIT)
    assert pool.drain().ok
    with pytest.raises(PoolClosed):
        pool.submit(jobs.nothing)


@pytest.mark.parametrize("used", [False, True])
def test_request_drain_returns_at_once_and_closes_the_pool(pool: Any, stage: Stage, used: bool) -> None:
    if used:
        _, actor = stage.start(pool)
        pool.request_drain(WAIT)
        actor.tell("return")
    else:
        pool.request_drain(None)
    report = pool.drain()
    assert report.state is PoolState.CLOSED and report.ok


@pytest.mark.parametrize("timeout", [float("inf"), 1e300])
def test_a_limit_that_is_as_good_as_none(pool: Any, stage: Stage, timeout: float) -> None:
    _, actor = stage.start(pool)
    pool.request_drain(timeout)
    actor.tell("return")
    assert pool.drain(timeout).ok


def test_request_drain_refuses_from_that_moment(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    pool.request_drain(WAIT)
    assert pool.state is pool.stats().state is PoolState.DRAINING
    for submit in (pool.submit, pool.try_submit):
        with pytest.raises(PoolClosed, match="draining"):
            submit(jobs.nothing)
    actor.tell("return")
    assert future.result(WAIT) == "actor"
    report = pool.drain()
    assert report.ok and report.stats.accepted == 1


@pytest.mark.differs_on("asyncio", "the loop calls its handlers itself: see tests/pools/aio/test_endings.py")
def test_in_a_signal_handler(pool: Any, stage: Stage) -> None:
    raised: list[Exception] = []

    def handle(number: int, frame: Any) -> None:
        for call in (lambda: pool.drain(1), pool.shutdown):
            try:
                call()
            except RuntimeError as error:
                raised.append(error)
        pool.request_drain(WAIT)

    future, actor = stage.start(pool)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(raised) == 2 and "request_drain" in str(raised[0])
    actor.tell("return")
    assert future.result(WAIT) == "actor"
    assert pool.drain().ok


@pytest.mark.parametrize("grace", [0.0, 0.2])
@pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")
def test_a_blocking_done_callback_does_not_hold_it_up(
    make_pool: Callable[..., Any], stage: Stage, grace: float
) -> None:
    pool = make_pool(1, cancel_grace=grace)
    let_go, called = threading.Event(), threading.Event()

    def block(_: Any) -> None:
        called.set()
        let_go.wait(WAIT)

    stage.occupy(pool, 1)
    queued = [pool.submit(jobs.nothing) for _ in range(3)]
    for future in queued:
        future.add_done_callback(block)
    with takes(0.1 + grace):
        report = pool.drain(0.1)
    assert called.wait(WAIT)
    assert report.stats.returned == 3 and all(future.done() for future in queued)
    let_go.set()


@pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")
def test_a_blocking_done_callback_does_not_hold_up_time_limits(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    let_go = threading.Event()
    before = stage.occupy(pool, 2)
    first = pool.submit(task(jobs.act, timeout=0.05), stage.address)
    first.add_done_callback(lambda _: let_go.wait(WAIT))  # before it begins: it would block this thread had it ended
    for _, actor in before:
        actor.tell("return")
    one = stage.enter()
    second, other = stage.start(pool, fn=task(jobs.act, timeout=0.2))
    assert first.exception(WAIT) is not None
    assert second.exception(WAIT / 2) is not None
    let_go.set()
    one.tell("return")
    other.tell("return")


@pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")
def test_a_callback_that_blocks_in_its_worker_does_not_hold_it_up(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    let_go, called = threading.Event(), threading.Event()

    def block(_: Any) -> None:
        called.set()
        let_go.wait(WAIT)

    future, actor = stage.start(pool)
    future.add_done_callback(block)
    actor.tell("return")
    assert called.wait(WAIT)
    with takes(0.1 + 0.1):
        report = pool.drain(0.1)
    assert report.stats.succeeded == 1
    let_go.set()


@pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")
def test_a_hanging_sink_does_not_hold_it_up(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.6)
    let_go = threading.Event()
    stage.occupy(pool, 2)
    waiting = pool.submit(jobs.nothing)
    pool.subscribe(lambda event: let_go.wait(WAIT))
    with takes(0.2 + 0.6):
        report = pool.drain(0.2)
    let_go.set()
    assert report.state is PoolState.CLOSED and waiting.done()
    assert report.stats.balanced


def test_pools_that_drain_at_once_do_not_disturb_each_other(make_pool: Callable[..., Any], stage: Stage) -> None:
    pools = [make_pool(1, cancel_grace=0.1) for _ in range(5)]
    for pool in pools:
        stage.occupy(pool, 1)
    with takes(0.2 + 0.1):
        draining = [in_thread(lambda pool=pool: pool.drain(0.2)) for pool in pools]
        for thread, ended in draining:
            thread.join(WAIT)
            assert len(ended[0].interrupted) == 1
