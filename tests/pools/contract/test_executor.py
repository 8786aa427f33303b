"""A drop-in for the standard library's executors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, InvalidStateError
from typing import Any

import pytest

from steadypool import JobFuture, Outcome, PoolClosed
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_queue import in_thread

pytestmark = pytest.mark.differs_on("asyncio", "it is no executor of the standard library")


def test_a_pool_is_an_executor_and_its_futures_are_futures(pool: Any) -> None:
    future = pool.submit(jobs.add, 1, other=2)
    assert isinstance(pool, futures.Executor)
    assert isinstance(future, futures.Future) and isinstance(future, JobFuture)
    assert future.result(WAIT) == 3
    assert future.exception() is None
    assert future.done() and not future.running() and not future.cancelled()
    assert (future.outcome, future.attempts) == (Outcome.SUCCEEDED, 1)


def test_keywords_with_the_names_of_our_own_parameters_get_through(pool: Any) -> None:
    given = {"fn": 1, "self": 2, "args": 3, "timeout": 4, "seconds": 5}
    assert pool.submit(jobs.everything, 0, **given).result(WAIT) == ((0,), given)
    assert pool.try_submit(jobs.everything, 0, **given).result(WAIT) == ((0,), given)
    assert pool.submit_within(1, jobs.everything, 0, **given).result(WAIT) == ((0,), given)


def test_an_exception_comes_out_of_result_and_exception(pool: Any) -> None:
    future = pool.submit(jobs.fail, "broken")
    with pytest.raises(ValueError, match="broken"):
        future.result(WAIT)
    assert isinstance(future.exception(), ValueError)
    assert future.outcome is Outcome.FAILED


def test_leaving_the_with_block_waits_for_every_job(kind: Kind, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    with kind.make(2) as pool:
        for number in range(50):
            pool.submit(jobs.note, path, str(number))
    assert sorted(jobs.lines(path), key=int) == [str(number) for number in range(50)]


@pytest.mark.parametrize("submit", ["submit", "try_submit"])
def test_a_closed_pool_refuses_in_the_standard_words(pool: Any, submit: str) -> None:
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        getattr(pool, submit)(jobs.nothing)
    with pytest.raises(PoolClosed):
        pool.submit_within(1, jobs.nothing)
    with pytest.raises(PoolClosed):
        list(pool.map(jobs.same, [1]))
    pool.shutdown()


def test_shutdown_without_waiting_lets_the_jobs_end(pool: Any, stage: Stage) -> None:
    (running, actor), queued = stage.start(pool), [pool.submit(jobs.same, number) for number in range(10)]
    pool.shutdown(wait=False)
    with pytest.raises(PoolClosed):
        pool.submit(jobs.nothing)
    actor.tell("return")
    assert running.result(WAIT) == "actor"
    assert [future.result(WAIT) for future in queued] == list(range(10))


def test_shutdown_with_cancel_futures_leaves_them_as_the_standard_library_does(pool: Any, stage: Stage) -> None:
    busy = stage.occupy(pool, 2)
    queued = [pool.submit(jobs.nothing) for _ in range(3)]
    waiting = threading.Thread(target=futures.wait, args=(queued,), daemon=True)
    waiting.start()
    pool.shutdown(wait=False, cancel_futures=True)
    assert futures.wait(queued, WAIT).not_done == set()
    waiting.join(WAIT)
    assert not waiting.is_alive()
    assert set(futures.as_completed(queued, WAIT)) == set(queued)
    for future in queued:
        assert future.cancelled() and future.done()
        assert future.outcome is Outcome.RETURNED
        with pytest.raises(CancelledError):
            future.result()
    for _, actor in busy:
        actor.tell("return")
    assert [future.result(WAIT) for future, _ in busy] == ["busy-0", "busy-1"]
    pool.shutdown()


def test_wait_returns_at_the_first_that_has_ended(pool: Any, stage: Stage) -> None:
    (slow, _), quick = stage.start(pool), pool.submit(jobs.nothing)
    done, not_done = futures.wait([slow, quick], WAIT, FIRST_COMPLETED)
    assert (done, not_done) == ({quick}, {slow})


def test_wait_returns_at_the_first_exception(pool: Any, stage: Stage) -> None:
    (slow, _), (failing, actor) = stage.start(pool), stage.start(pool, "failing")
    actor.tell("fail")
    done, not_done = futures.wait([slow, failing], WAIT, FIRST_EXCEPTION)
    assert (done, not_done) == ({failing}, {slow})
    assert isinstance(failing.exception(), ValueError)


def test_wait_with_a_timeout_returns_what_has_not_ended(pool: Any, stage: Stage) -> None:
    (slow, actor), ended = stage.start(pool), pool.submit(jobs.nothing)
    ended.result(WAIT)
    assert futures.wait([slow, ended], 0.01) == ({ended}, {slow})
    actor.tell("return")
    assert futures.wait([slow, ended], WAIT) == ({ended, slow}, set())


def test_wait_sees_every_way_that_a_job_ends(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=10)
    (failing, fails), (told, obeys) = stage.start(pool), stage.start(pool)
    queued = pool.submit(jobs.nothing)
    everybody = [failing, told, queued]
    waiter = threading.Thread(target=futures.wait, args=(everybody,), daemon=True)
    waiter.start()
    queued.cancel()
    fails.tell("fail")
    obeys.tell("obey")
    told.cancel(running=True)
    waiter.join(WAIT)
    assert not waiter.is_alive()
    assert isinstance(failing.exception(), ValueError)
    assert {future.outcome for future in everybody} == {Outcome.FAILED, Outcome.CANCELLED}
    assert set(futures.as_completed(everybody, WAIT)) == set(everybody)


def test_as_completed_yields_in_the_order_of_the_ends(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3)
    started = [stage.start(pool, str(number)) for number in range(3)]
    ends = futures.as_completed([future for future, _ in started], WAIT)
    order = []
    for number in (2, 0, 1):
        started[number][1].tell("return")
        order.append(next(ends).result())
    assert order == ["2", "0", "1"]


def test_as_completed_takes_duplicates_and_ended_futures(pool: Any) -> None:
    future = pool.submit(jobs.nothing)
    future.result(WAIT)
    assert list(futures.as_completed([future, future], WAIT)) == [future]


def test_as_completed_times_out_while_a_job_runs(pool: Any, stage: Stage) -> None:
    future, _ = stage.start(pool)
    with pytest.raises(TimeoutError):
        list(futures.as_completed([future], 0))


def test_as_completed_and_wait_race_with_the_ends(pool: Any) -> None:
    for _ in range(100):
        batch = [pool.submit(jobs.nothing) for _ in range(5)]
        assert set(futures.as_completed(batch, WAIT)) == set(batch)
        batch = [pool.submit(jobs.nothing) for _ in range(5)]
        assert not futures.wait(batch, WAIT).not_done


def test_the_standard_library_may_hold_the_condition_while_the_job_ends(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)

    def hold() -> bool:
        # What `as_completed` and `wait` do, which look the attribute up again to release it.
        future._condition.acquire()
        actor.tell("return")
        while future.outcome is None and not future.done():
            threading.Event().wait(0.001)  # until the worker is about to publish
        future._condition.release()
        return True

    thread, ended = in_thread(hold)
    thread.join(WAIT)
    assert ended == [True]
    assert future.result(WAIT) == "actor"


def test_result_with_a_timeout_leaves_the_job_alone(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0)
    assert future.running() and not future.done()
    assert actor.ask("cause") is None
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_many_threads_wait_for_one_result(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(future.result(WAIT)), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    actor.tell("return")
    for thread in threads:
        thread.join(WAIT)
    assert results == ["actor"] * 8


def test_callbacks_run_once_in_their_order_and_late_ones_at_once(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    called: list[tuple[int, bool]] = []
    ended = threading.Event()
    for number in range(3):
        future.add_done_callback(lambda f, n=number: called.append((n, f.done())))
    future.add_done_callback(lambda f: ended.set())
    actor.tell("return")
    assert ended.wait(WAIT)
    future.add_done_callback(lambda f: called.append((3, f.done())))
    assert called == [(0, True), (1, True), (2, True), (3, True)]


def test_a_callback_that_raises_is_logged_and_the_others_run(
    pool: Any, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    future, actor = stage.start(pool)
    ended = threading.Event()
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(lambda f: ended.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        actor.tell("return")
        assert ended.wait(WAIT)
    assert "exception calling callback" in caplog.text
    assert pool.submit(jobs.same, 1).result(WAIT) == 1


def test_callbacks_of_cancelled_jobs_run(pool: Any, stage: Stage) -> None:
    stage.occupy(pool, 2)
    queued = pool.submit(jobs.nothing)
    called = threading.Event()
    queued.add_done_callback(lambda f: called.set())
    queued.cancel()
    assert called.wait(WAIT)


def test_adding_callbacks_races_with_the_end(pool: Any) -> None:
    called: list[Any] = []
    batch = []
    for _ in range(500):
        future = pool.submit(jobs.nothing)
        future.add_done_callback(called.append)
        batch.append(future)
    pool.shutdown()
    assert len(called) == 500 and set(called) == set(batch)


def test_nobody_but_the_pool_settles_a_future(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    for settle in (
        lambda: future.set_result(1),
        lambda: future.set_exception(ValueError()),
        future.set_running_or_notify_cancel,
    ):
        with pytest.raises(InvalidStateError):
            settle()
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_an_initializer_runs_in_each_worker_before_its_jobs(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    pool = make_pool(1, initializer=jobs.initialize, initargs=(path, "initialized"))
    pool.submit(jobs.note, path, "job").result(WAIT)
    assert jobs.lines(path) == ["initialized", "job"]


def test_repr_names_the_job_and_its_state(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    assert future.job_id in repr(future) and "running" in repr(future)
    actor.tell("return")
    future.result(WAIT)
    assert "succeeded" in repr(future)
    assert pool.name in repr(pool) and "open" in repr(pool)


def test_job_ids_differ_and_an_own_id_is_kept(pool: Any) -> None:
    batch = [pool.submit(jobs.nothing) for _ in range(20)]
    assert len({future.job_id for future in batch}) == 20
    assert pool.submit(jobs.decorated.options(id="order-42"), 1).job_id == "order-42"
