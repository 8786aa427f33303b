"""The queue is bounded, and a full one does what was chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobCancelled, Outcome, PoolClosed, QueueFull, task
from steadypool.rules.prefetch import WORTH
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


def fill(pool: Any, stage: Stage, waiting: int) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Have the pool's one worker busy and its queue full."""
    busy = stage.occupy(pool, 1)
    time.sleep(2 * WORTH)  # a worker process that has just begun a job may be given another one to hold
    return busy, [pool.try_submit(jobs.same, number) for number in range(waiting)]


def in_thread(target: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run *target* on a thread; the list will hold what it returned or raised."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(target())
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, ended


def test_try_submit_refuses_what_is_one_too_many(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=3)
    fill(pool, stage, 3)
    with pytest.raises(QueueFull, match="3"):
        pool.try_submit(jobs.nothing)
    stats = pool.stats()
    assert (stats.accepted, stats.waiting, stats.running, stats.rejected) == (4, 3, 1, 1)
    assert stats.queue_size == 3 and stats.balanced


def test_submit_within_gives_up_after_its_time(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    fill(pool, stage, 1)
    began = time.monotonic()
    with pytest.raises(QueueFull, match=r"0\.05 s"):
        pool.submit_within(0.05, jobs.nothing)
    assert time.monotonic() - began >= 0.05
    with pytest.raises(QueueFull):
        pool.submit_within(0, jobs.nothing)
    assert pool.stats().rejected == 2


def test_submit_within_gets_in_when_there_is_room(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    [(_, actor)], _ = fill(pool, stage, 1)
    thread, ended = in_thread(lambda: pool.submit_within(WAIT, jobs.same, 5).result(WAIT))
    thread.join(0.05)
    assert thread.is_alive()
    actor.tell("return")
    thread.join(WAIT)
    assert ended == [5]


def test_block_waits_for_room(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    [(_, actor)], _ = fill(pool, stage, 1)
    thread, ended = in_thread(lambda: pool.submit(jobs.same, 5).result(WAIT))
    thread.join(0.05)
    assert thread.is_alive() and pool.stats().accepted == 2
    actor.tell("return")
    thread.join(WAIT)
    assert ended == [5]


def test_reject(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="reject")
    fill(pool, stage, 1)
    with pytest.raises(QueueFull):
        pool.submit(jobs.nothing)
    assert pool.stats().rejected == 1


@pytest.mark.differs_on("asyncio", "the job runs in a task of its own: see tests/pools/aio/test_submit.py")
def test_caller_runs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="caller_runs")
    fill(pool, stage, 1)
    future = pool.submit(jobs.who)
    assert future.done() and future.result() == jobs.who()
    failed = pool.submit(jobs.fail)
    assert failed.outcome is Outcome.FAILED and isinstance(failed.exception(), ValueError)
    left = pool.submit(jobs.leave, 3)
    assert left.exception().code == 3
    assert pool.submit(jobs.job_facts).result()[1] == "tests.pools.contract.jobs.job_facts"
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded, stats.failed, stats.waiting) == (6, 2, 2, 1)


def test_caller_runs_retries_as_the_task_says(make_pool: Callable[..., Any], stage: Stage, tmp_path: Any) -> None:
    from steadypool import Retry

    pool = make_pool(1, queue_size=1, on_full="caller_runs")
    [(_, actor)], _ = fill(pool, stage, 1)
    future = pool.submit(task(jobs.fail_until, retry=Retry(3, backoff=0)), str(tmp_path / "notes"), 2)
    actor.tell("return")
    assert future.result(WAIT) == 2


def test_discard_oldest(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=2, on_full="discard_oldest")
    [(_, actor)], (oldest, younger) = fill(pool, stage, 2)
    newest = pool.submit(jobs.same, "newest")
    assert oldest.cancelled() and oldest.outcome is Outcome.CANCELLED
    with pytest.raises(JobCancelled):
        oldest.result()
    actor.tell("return")
    assert younger.result(WAIT) == 1
    assert newest.result(WAIT) == "newest"
    assert pool.stats().cancelled == 1


def test_discard_oldest_discards_the_lowest_priority(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=3, on_full="discard_oldest")
    [(_, actor)] = stage.occupy(pool, 1)
    kept = [pool.submit(task(jobs.same, priority=priority), priority) for priority in (5, -1, 0)]
    newest = pool.submit(jobs.same, "newest")
    assert [future.cancelled() for future in kept] == [False, True, False]
    actor.tell("return")
    assert [kept[0].result(WAIT), kept[2].result(WAIT), newest.result(WAIT)] == [5, 0, "newest"]


def test_higher_priorities_first_and_stable_within_one(
    make_pool: Callable[..., Any], stage: Stage, tmp_path: Any
) -> None:
    pool = make_pool(1)
    path = str(tmp_path / "notes")
    [(_, actor)] = stage.occupy(pool, 1)
    for number, priority in enumerate([0, 5, -1, 0, 5, -1, 10, 0]):
        pool.submit(task(jobs.note, priority=priority), path, f"{priority}:{number}")
    actor.tell("return")
    pool.shutdown()
    assert jobs.lines(path) == ["10:6", "5:1", "5:4", "0:0", "0:3", "0:7", "-1:2", "-1:5"]


@pytest.mark.parametrize("how", ["request_drain", "shutdown"])
def test_blocked_producers_are_woken_with_pool_closed(make_pool: Callable[..., Any], stage: Stage, how: str) -> None:
    pool = make_pool(1, queue_size=1)
    fill(pool, stage, 1)
    blocked = [in_thread(lambda: pool.submit(jobs.nothing)) for _ in range(3)]
    blocked += [in_thread(lambda: pool.submit_within(600, jobs.nothing)) for _ in range(2)]
    blocked[-1][0].join(0.05)
    assert all(thread.is_alive() for thread, _ in blocked)
    if how == "shutdown":
        pool.shutdown(wait=False)
    else:
        pool.request_drain(60)
    for thread, ended in blocked:
        thread.join(WAIT)
        assert isinstance(ended[0], PoolClosed)
    assert pool.stats().accepted == 2


def test_a_cancelled_job_makes_room(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    _, [queued] = fill(pool, stage, 1)
    thread, ended = in_thread(lambda: pool.submit(jobs.nothing))
    thread.join(0.05)
    assert thread.is_alive()
    assert queued.cancel()
    thread.join(WAIT)
    assert not isinstance(ended[0], Exception)


def test_no_wake_up_is_lost_between_producers_and_workers(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, queue_size=1)
    producers = [in_thread(lambda: [pool.submit(jobs.same, number) for number in range(250)]) for _ in range(4)]
    for thread, _ in producers:
        thread.join(WAIT)
    results = [future.result(WAIT) for _, [batch] in producers for future in batch]
    assert results == list(range(250)) * 4


def test_racing_producers_never_overfill_the_queue(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=20)
    stage.occupy(pool, 1)

    def push() -> int:
        got_in = 0
        for _ in range(50):
            try:
                pool.try_submit(jobs.nothing)
                got_in += 1
            except QueueFull:
                pass
        return got_in

    producers = [in_thread(push) for _ in range(4)]
    for thread, _ in producers:
        thread.join(WAIT)
    assert sum(ended[0] for _, ended in producers) == 20
    assert (pool.stats().waiting, pool.stats().rejected) == (20, 180)


def test_the_room_comes_back_whatever_became_of_the_jobs(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=4)
    for _ in range(3):
        [(_, actor)], waiting = fill(pool, stage, 4)
        waiting[0].cancel()
        pool.submit(task(jobs.nothing, priority=3))
        with pytest.raises(QueueFull):
            pool.try_submit(jobs.nothing)
        actor.tell("return")
        for future in waiting[1:]:
            future.result(WAIT)
        pool.submit(task(jobs.nothing, priority=-3)).result(WAIT)


@pytest.mark.differs_on("asyncio", "callbacks run on the loop, where nothing may block")
def test_a_done_callback_may_submit_to_its_full_pool(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    [(busy, actor)], _ = fill(pool, stage, 1)
    submitted: list[Any] = []
    called = threading.Event()

    def submit_more(_: Any) -> None:
        submitted.extend(pool.submit(jobs.same, number) for number in range(5))
        called.set()

    busy.add_done_callback(submit_more)
    actor.tell("return")
    assert called.wait(WAIT)
    assert [future.result(WAIT) for future in submitted] == list(range(5))
