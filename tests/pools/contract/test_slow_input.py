"""`map` and `map_unordered` over an input that blocks: what is there is given, and nothing waits without a way out."""

from __future__ import annotations

import gc
import os
import random
import signal
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from steadypool import JobTimeout, PoolClosed, ThreadPool
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.differs_on("asyncio", "it has a slow input of its own: see tests/pools/aio/test_slow_input.py")

BOTH = pytest.mark.parametrize("how", ["map", "map_unordered"])
CHUNKS = pytest.mark.parametrize("chunksize", [1, 4])


class TaskAdapter:
    """An input that blocks until it is given something."""

    def __init__(self) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self.was_asked = threading.Semaphore(0)
        self.has_ended = threading.Event()
        self.thread: threading.Thread | None = None

    def put(self, *items: Any) -> None:
        for item in items:
            self.items.put(item)

    def __iter__(self) -> Iterator[Any]:
        self.thread = threading.current_thread()
        try:
            while True:
                self.was_asked.release()
                item = self.items.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    return
                yield item
        finally:
            self.has_ended.set()


@pytest.fixture
def feed() -> Iterator[TaskAdapter]:
    """An input; at the end of the test nothing is left in it."""
    feed = TaskAdapter()
    yield feed
    feed.put(None)
    assert feed.thread is None or feed.has_ended.wait(WAIT)


@CHUNKS
@BOTH
def test_results_come_while_the_input_blocks(pool: Any, feed: TaskAdapter, how: str, chunksize: int) -> None:
    feed.put(1, 2, 3, 4, 5)
    results = getattr(pool, how)(jobs.double, feed, chunksize=chunksize)
    assert sorted(next(results) for _ in range(5)) == [2, 4, 6, 8, 10]
    feed.put(6)
    assert next(results) == 12
    feed.put(None)
    assert list(results) == []


@BOTH
def test_an_input_may_wait_for_results(pool: Any, feed: TaskAdapter, how: str) -> None:
    results = getattr(pool, how)(jobs.double, feed, buffersize=2)
    for number in range(20):
        feed.put(number)
        assert next(results) == 2 * number


@CHUNKS
@BOTH
def test_what_the_input_raises_comes_after_the_results_before_it(
    pool: Any, feed: TaskAdapter, how: str, chunksize: int
) -> None:
    feed.put(1, 2, 3, 4, 5, LookupError("the input broke"))
    results = getattr(pool, how)(jobs.double, feed, chunksize=chunksize)
    assert sorted(next(results) for _ in range(5)) == [2, 4, 6, 8, 10]
    with pytest.raises(LookupError, match="the input broke"):
        next(results)


@BOTH
def test_closing_does_not_wait_for_the_input(pool: Any, feed: TaskAdapter, how: str) -> None:
    feed.put(1)
    results = getattr(pool, how)(jobs.double, feed)
    assert next(results) == 2
    results.close()
    feed.put(2)  # the reader is let go, and submits it no more
    assert feed.has_ended.wait(WAIT)
    assert pool.stats().accepted == 1


@BOTH
def test_the_pool_closes_while_the_input_blocks(pool: Any, feed: TaskAdapter, how: str) -> None:
    feed.put(1, 2)
    results = getattr(pool, how)(jobs.double, feed)
    assert feed.was_asked.acquire(timeout=WAIT)
    closer = threading.Thread(target=lambda: [feed.was_asked.acquire(timeout=WAIT) for _ in range(2)] and pool.drain(5))
    closer.start()
    assert sorted(next(results) for _ in range(2)) == [2, 4]
    with pytest.raises(PoolClosed):
        next(results)
    closer.join()


@CHUNKS
@BOTH
def test_a_map_that_is_dropped_unread_runs_what_its_first_window_holds(
    make_pool: Callable[..., Any], feed: TaskAdapter, tmp_path: Any, how: str, chunksize: int
) -> None:
    from functools import partial

    path = str(tmp_path / "notes")
    feed.put("1")
    with make_pool(1) as pool:
        getattr(pool, how)(partial(jobs.note, path), feed, chunksize=chunksize)
        threading.Timer(0.05, feed.put, ["2", "3", None]).start()
    assert sorted(jobs.lines(path)) == ["1", "2", "3"]


@BOTH
def test_an_exception_in_the_block_of_the_pool_does_not_wait_for_the_input(
    make_pool: Callable[..., Any], feed: TaskAdapter, how: str
) -> None:
    pool = make_pool(1)
    with pytest.raises(LookupError), pool:
        results = getattr(pool, how)(jobs.double, feed)
        raise LookupError
    del results


@CHUNKS
@BOTH
def test_the_window_bounds_a_quick_generator(pool: Any, how: str, chunksize: int) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in range(400):
            taken += 1
            yield number

    results, most = getattr(pool, how)(jobs.double, numbers(), buffersize=10, chunksize=chunksize), 0
    for given, _ in enumerate(results):
        most = max(most, taken - given)
    assert taken == 400
    assert most <= 10 + 1  # given while it is not counted yet
    assert pool.stats().accepted == 400


def test_the_time_limit_of_a_map_holds_for_its_input(pool: Any, feed: TaskAdapter) -> None:
    feed.put(1)
    results = pool.map(jobs.double, feed, timeout=1)
    assert next(results) == 2
    with pytest.raises(TimeoutError, match="input") as caught:
        next(results)
    assert not isinstance(caught.value, JobTimeout)


@BOTH
def test_ctrl_c_ends_the_wait_for_input(pool: Any, feed: TaskAdapter, how: str) -> None:
    feed.put(1)
    results = getattr(pool, how)(jobs.double, feed)
    assert next(results) == 2
    gc.collect()
    gc.disable()  # an interrupt that comes during a collection is raised in the callback of another library, and lost
    try:
        with pytest.raises(KeyboardInterrupt):
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
            next(results)
    finally:
        gc.enable()
    assert pool.submit(jobs.double, 2).result(WAIT) == 4


@BOTH
def test_a_job_maps_a_slow_input_over_its_own_pool(make_pool: Callable[..., Any], feed: TaskAdapter, how: str) -> None:
    pool = ThreadPool(1, queue_size=1)
    feed.put(1, 2)

    def job() -> list[int]:
        results = getattr(pool, how)(jobs.double, feed)
        first = [next(results) for _ in range(2)]
        feed.put(3, None)
        return first + list(results)

    with pool:
        assert sorted(pool.submit(job).result(WAIT)) == [2, 4, 6]


@BOTH
def test_an_input_can_be_read_on_the_calling_thread(pool: Any, feed: TaskAdapter, how: str) -> None:
    feed.put(1, None)
    assert list(getattr(pool, how)(jobs.double, feed, read_here=True)) == [2]
    assert feed.thread is threading.current_thread()
    with pytest.raises(TypeError, match="read_here"):
        getattr(pool, how)(jobs.double, feed, read_here="yes")


@BOTH
def test_rows_of_a_database_are_read_on_the_calling_thread(pool: Any, how: str) -> None:
    rows = sqlite3.connect(":memory:")
    many = "with recursive n(i) as (select 0 union all select i + 1 from n where i < 50) select i from n"
    assert len(list(getattr(pool, how)(jobs.same, rows.execute(many), buffersize=5))) == 51
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        list(getattr(pool, how)(jobs.same, (row for row in rows.execute(many))))
    assert "read_here=True" in "".join(traceback.format_exception(caught.value))


@BOTH
def test_a_forked_child_is_told(pool: Any, feed: TaskAdapter, how: str) -> None:
    feed.put(1)
    results = getattr(pool, how)(jobs.double, feed)
    assert next(results) == 2
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(results)
        except PoolClosed:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@BOTH
def test_maps_that_are_closed_anywhere_leave_the_books_in_order(make_pool: Callable[..., Any], how: str) -> None:
    pool, chance = make_pool(2, queue_size=5), random.Random(7)
    for _ in range(150):
        size, end = chance.randint(1, 12), chance.randint(0, 30)
        chunk = chance.choice([1, 1, 3, 20])
        results = getattr(pool, how)(jobs.double, (n for n in range(end)), buffersize=size, chunksize=chunk)
        wanted = chance.randint(0, 30)
        got = [result for result, _ in zip(results, range(wanted), strict=False)]
        assert len(set(got)) == len(got) == min(end, wanted)
        if chance.random() < 0.5:
            results.close()
        else:
            del results
    report = pool.drain(WAIT)
    assert report.stats.accepted == report.stats.ended
    assert report.stats.failed == 0


def test_readers_end(pool: Any) -> None:
    before = threading.active_count()
    assert list(pool.map(jobs.double, (n for n in range(10)))) == [2 * n for n in range(10)]
    for thread in threading.enumerate():
        if thread.name.endswith("-input"):
            thread.join(WAIT)
    assert threading.active_count() <= before + 3  # workers and the supervisor
