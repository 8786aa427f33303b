"""`map` and `map_unordered`: lazy, bounded, and honest about what went wrong."""

from __future__ import annotations

import functools
import gc
import itertools
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import Outcome, PoolClosed, Retry, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class Counted:
    """An endless input that knows how much of it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for number in itertools.count():
            self.taken += 1
            yield number


BOTH = pytest.mark.parametrize("how", ["map", "map_unordered"])


def test_results_come_in_order(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4)
    assert list(pool.map(jobs.double, range(300))) == [2 * number for number in range(300)]
    assert list(pool.map(jobs.add, range(5), itertools.count(10))) == [10, 12, 14, 16, 18]
    assert list(pool.map(jobs.double, [])) == []
    assert list(pool.map(jobs.decorated, [1, 2])) == [2, 4]


@pytest.mark.parametrize("chunksize", [1, 7, 1000])
@BOTH
def test_chunks_change_nothing_but_the_speed(pool: Any, how: str, chunksize: int) -> None:
    results = getattr(pool, how)(jobs.double, range(100), chunksize=chunksize)
    assert sorted(results) == [2 * number for number in range(100)]


def test_unordered_results_come_as_they_end(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3)
    results = pool.map_unordered(stage_job(stage), "abc")
    actors = stage.enter_many(3)
    order = []
    for name in "cab":
        actors[name].tell("return")
        order.append(next(results))
    assert order == ["c", "a", "b"]
    with pytest.raises(StopIteration):
        next(results)


def stage_job(stage: Stage) -> Any:
    """`jobs.act` on this stage, as a function of the name alone."""
    from functools import partial

    return partial(jobs.act, stage.address)


@BOTH
@pytest.mark.differs_on("asyncio", "it gives an asynchronous generator: see tests/pools/aio/test_many.py")
def test_an_endless_input_is_taken_lazily(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(2)
    numbers = Counted()
    results = getattr(pool, how)(jobs.double, numbers, buffersize=10)
    assert isinstance(results, types.GeneratorType)
    assert numbers.taken == 10
    first = [next(results) for _ in range(500)]
    assert len(set(first)) == 500
    assert numbers.taken <= 511
    results.close()
    assert numbers.taken <= 511
    with pytest.raises(StopIteration):
        next(results)


@BOTH
def test_the_first_window_is_submitted_before_it_returns(pool: Any, stage: Stage, tmp_path: Any, how: str) -> None:
    path = str(tmp_path / "notes")
    stage.occupy(pool, 2)  # see below
    results = getattr(pool, how)(functools.partial(jobs.note, path), [str(number) for number in range(5)])
    assert pool.stats().accepted == 2 + 5
    stage.close()
    pool.shutdown()
    assert len(jobs.lines(path)) == 5
    del results


@pytest.mark.parametrize("chunksize", [1, 10])
@BOTH
@pytest.mark.differs_on("asyncio", "its loop closes an asynchronous generator, however it was dropped")
def test_a_map_that_is_dropped_unread_runs_on(pool: Any, tmp_path: Any, how: str, chunksize: int) -> None:
    path = str(tmp_path / "notes")
    numbers = [str(number) for number in range(100)]
    with pool:
        getattr(pool, how)(functools.partial(jobs.note, path), numbers, chunksize=chunksize)
    assert sorted(jobs.lines(path), key=int) == numbers
    assert pool.stats().succeeded == 100


def test_the_window_is_the_queue_s_size_by_default(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=8)
    stage.occupy(pool)  # or a loop would run the first at once, and give others a turn after a millisecond of them
    numbers = Counted()
    results = pool.map(jobs.double, numbers)
    assert numbers.taken == 8
    results.close()


@pytest.mark.parametrize("on_full", ["block", "reject", "caller_runs", "discard_oldest"])
@BOTH
def test_it_waits_for_room_whatever_on_full_says(make_pool: Callable[..., Any], how: str, on_full: str) -> None:
    pool = make_pool(1, queue_size=2, on_full=on_full)
    assert sorted(getattr(pool, how)(jobs.double, range(100), buffersize=20)) == [2 * n for n in range(100)]
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded, stats.rejected) == (100, 100, 0)


@BOTH
def test_closing_the_generator_cancels_what_has_not_started(
    make_pool: Callable[..., Any], stage: Stage, how: str
) -> None:
    pool = make_pool(1)
    results = getattr(pool, how)(stage_job(stage), (str(n) for n in itertools.count()), buffersize=5)
    actor = stage.enter()
    results.close()
    assert pool.stats().cancelled == 4
    actor.tell("return")
    pool.submit(jobs.nothing).result(WAIT)
    assert pool.stats().succeeded == 2


@BOTH
def test_dropping_the_generator_cancels_too(make_pool: Callable[..., Any], stage: Stage, how: str) -> None:
    pool = make_pool(1)
    results = getattr(pool, how)(stage_job(stage), "abc")
    actor = stage.enter()
    actor.tell("return")
    assert next(results) == "a"
    stage.enter()
    del results
    gc.collect()
    assert pool.stats().cancelled == 1


def test_a_failing_item_raises_in_its_place_and_cancels_the_rest(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    results = pool.map(jobs.fail_if_odd, [0, 2, 3, 4])
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(ValueError, match="3 is odd"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@BOTH
def test_items_are_retried_as_the_task_says(pool: Any, tmp_path: Any, how: str) -> None:
    path = str(tmp_path / "notes")
    again = task(jobs.fail_until, retry=Retry(4, backoff=0))
    from functools import partial

    assert list(getattr(pool, how)(partial(again, path), [3])) == [3]


def test_the_time_limit_of_a_map(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    began = time.monotonic()
    results = pool.map(stage_job(stage), "ab", timeout=0.1)
    actor = stage.enter()
    with pytest.raises(TimeoutError):
        next(results)
    assert 0.1 <= time.monotonic() - began < WAIT
    assert actor.ask("cause") is None
    actor.tell("return")
    assert pool.stats().cancelled == 1


@BOTH
def test_an_input_that_raises_raises_after_the_results_before_it(pool: Any, how: str) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise LookupError("the input broke")

    results = getattr(pool, how)(jobs.double, numbers())
    got = sorted(next(results) for _ in range(5))
    assert got == [0, 2, 4, 6, 8]
    with pytest.raises(LookupError, match="the input broke"):
        next(results)


@BOTH
def test_the_pool_closes_under_a_map(make_pool: Callable[..., Any], stage: Stage, how: str) -> None:
    pool = make_pool(1, cancel_grace=30)
    results = getattr(pool, how)(stage_job(stage), (str(n) for n in itertools.count()), buffersize=3)
    stage.enter().tell("return")
    assert next(results) == "0"
    stage.enter().tell("finish when told")
    pool.request_drain(0)
    assert next(results) == "finished though shutdown"
    with pytest.raises(PoolClosed):
        next(results)
    report = pool.drain(WAIT)
    assert report.stats.succeeded == 2 and report.stats.accepted == report.stats.ended


@BOTH
def test_a_drain_in_time_lets_a_map_have_what_was_submitted(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(1)
    results = getattr(pool, how)(jobs.double, itertools.count(), buffersize=5)
    pool.drain(WAIT)
    assert sorted(next(results) for _ in range(5)) == [0, 2, 4, 6, 8]
    with pytest.raises(PoolClosed):
        next(results)


@BOTH
def test_a_finite_map_survives_the_end_of_the_with_block(make_pool: Callable[..., Any], how: str) -> None:
    with make_pool(2) as pool:
        results = getattr(pool, how)(jobs.double, range(10))
    assert sorted(results) == [2 * number for number in range(10)]


@BOTH
def test_two_maps_share_a_short_queue(make_pool: Callable[..., Any], how: str) -> None:
    pool = make_pool(2, queue_size=2)
    one = getattr(pool, how)(jobs.double, range(50), buffersize=10)
    other = getattr(pool, how)(jobs.double, range(50), buffersize=10)
    pairs = list(zip(one, other, strict=True))
    assert sorted(pair[0] for pair in pairs) == sorted(pair[1] for pair in pairs) == [2 * n for n in range(50)]


@BOTH
@pytest.mark.differs_on("asyncio", "the caller's thread holds them: see tests/pools/aio/test_many.py")
def test_results_that_were_taken_are_not_kept(pool: Any, how: str) -> None:
    import weakref

    # In a chunk, results come in one list, which goes when the last is taken.
    results = getattr(pool, how)(jobs.same, ({n} for n in range(20)), chunksize=1)
    for _ in range(3):
        result = next(results)
        gone = weakref.ref(result)
        del result
        next(results)
        until = time.monotonic() + WAIT
        while gone() is not None:  # what the supervisor reads together, it lets go of together
            assert time.monotonic() < until
            gc.collect()
    results.close()


@BOTH
@pytest.mark.parametrize(
    ("options", "error"),
    [({"buffersize": 0}, ValueError), ({"buffersize": "a"}, TypeError), ({"chunksize": 0}, ValueError),
     ({"chunksize": 1.5}, TypeError)],
)  # fmt: skip
def test_bad_sizes_are_told_at_once(pool: Any, how: str, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        getattr(pool, how)(jobs.double, [1], **options)


@BOTH
@pytest.mark.differs_on("asyncio", "every function was made a coroutine function")
def test_bad_functions_are_told_at_once(pool: Any, how: str) -> None:
    with pytest.raises(TypeError, match="coroutine"):
        getattr(pool, how)(jobs.coroutine, [1])
    with pytest.raises(TypeError):
        getattr(pool, how)(3, [1])
    with pytest.raises(TypeError):
        getattr(pool, how)(jobs.double, 3)


def test_a_bad_time_limit_is_told_at_once(pool: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        pool.map(jobs.double, [1], timeout=-1)


@BOTH
def test_outcomes_of_a_map_are_in_the_books(pool: Any, how: str) -> None:
    results = getattr(pool, how)(jobs.fail_if_odd, range(10))
    got = []
    while True:
        try:
            got.append(next(results))
        except StopIteration:
            break
        except ValueError:
            continue
    report = pool.drain(WAIT)
    assert report.stats.accepted == report.stats.ended == 10
    assert report.stats.failed >= 1 and report.stats.succeeded >= len(got)
    assert Outcome.FAILED.value == "failed"
