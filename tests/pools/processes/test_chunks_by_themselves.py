"""Items of a map travel together by themselves, if they are short; and where the queue is small."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steadypool import WorkerCrashed, task
from tests.patience import WAIT
from tests.pools.contract import jobs
from tests.pools.contract.stage import Stage
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
HOW = pytest.mark.parametrize("how", ["map", "map_unordered"])
INPUTS = pytest.mark.parametrize("read", [list, iter, lambda items: (item for item in items)])


def legs_of(pool: Any, results: Callable[[], Iterator[Any]]) -> tuple[list[Any], list[int]]:
    """The results of a map, and how many items each of its legs had."""
    sizes: list[int] = []
    many, patiently = pool._submit_many, pool._submit_patiently

    def note_many(*args: Any) -> Any:
        for leg in many(*args):
            if leg._size > 1:
                sizes.append(leg._size)
            yield leg

    def note_one(*args: Any) -> Any:
        sizes.append(1)
        return patiently(*args)

    pool._submit_many, pool._submit_patiently = note_many, note_one
    try:
        return list(results()), sizes
    finally:
        del pool._submit_many, pool._submit_patiently


def known(pool: Any, fn: Any, item: Any) -> Any:
    """The pool, once it knows how long this function takes."""
    warm(pool)
    for _ in range(30):
        pool.submit(fn, item).result(WAIT)
    assert pool._workers.fleet.pace.run_seconds.of(pool._workers.resolve(fn)[0]) is not None
    return pool


def known_as_short(pool: Any, fn: Any, item: Any) -> Any:
    """The same, as if no call took time, however busy the machine is."""
    run_seconds = known(pool, fn, item)._workers.fleet.pace.run_seconds
    run_seconds.of = lambda fn: 1e-6
    return pool


@pytest.mark.parametrize("chunksize", [20, 60])
def test_chunks_stay_whole_when_more_may_be_in_flight_than_the_queue_holds(make_pool: MakePool, chunksize: int) -> None:
    pool = known_as_short(make_pool(2, queue_size=30), jobs.same, 1)
    results, legs = legs_of(
        pool, lambda: pool.map_unordered(jobs.same, range(600), chunksize=chunksize, buffersize=300)
    )
    assert sorted(results) == list(range(600))
    assert sum(legs) == 600
    assert len(legs) < 300
    assert len(pool._core.queue.room) == 30


@HOW
@INPUTS
def test_short_items_travel_together(make_pool: MakePool, how: str, read: Any) -> None:
    pool = known_as_short(make_pool(2), jobs.same, 1)
    results, legs = legs_of(pool, lambda: getattr(pool, how)(jobs.same, read(list(range(3000)))))
    assert sorted(results) == list(range(3000))
    assert sum(legs) == 3000
    assert len(legs) < 1500
    assert legs[0] == 1, "the first result comes as early as ever"
    assert pool.stats().succeeded == 3000 + 2 + 30


@HOW
def test_long_items_travel_alone(make_pool: MakePool, how: str) -> None:
    pool = known(make_pool(2), deeds.take_5_ms, 1)
    results, legs = legs_of(pool, lambda: getattr(pool, how)(deeds.take_5_ms, range(20)))
    assert sorted(results) == list(range(20))
    assert set(legs) == {1}


@pytest.mark.parametrize("fn", [task(jobs.same, timeout=60), task(jobs.same, total_timeout=60)])
def test_items_with_limits_travel_alone(make_pool: MakePool, fn: Any) -> None:
    pool = known_as_short(make_pool(2), jobs.same, 1)
    results, legs = legs_of(pool, lambda: pool.map(fn, range(200)))
    assert results == list(range(200))
    assert set(legs) == {1}


def test_a_chunksize_of_1_has_them_travel_alone(make_pool: MakePool) -> None:
    pool = known_as_short(make_pool(2), jobs.same, 1)
    _, legs = legs_of(pool, lambda: pool.map(jobs.same, range(200), chunksize=1))
    assert set(legs) == {1}


def test_a_long_one_among_them_holds_up_no_other(make_pool: MakePool, stage: Stage) -> None:
    pool = known_as_short(make_pool(2), deeds.same_or_act, 1)
    items = [*range(500), stage.address, *range(500, 1500)]
    results = pool.map_unordered(deeds.same_or_act, items)
    others = [next(results) for _ in range(1500)]
    assert sorted(others) == list(range(1500)), "while the long one runs"
    stage.enter().tell("return")
    assert list(results) == ["actor"]


@on_each_parent
def test_one_that_kills_its_worker_crashes_alone(make_pool: MakePool, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    pool = known_as_short(make_pool(2), deeds.note_and_die_at_777, (log, 0))
    results = pool.map_unordered(deeds.note_and_die_at_777, [(log, number) for number in range(100, 1100)])
    with pytest.raises(WorkerCrashed):
        list(results)
    stats = pool.drain(WAIT).stats
    assert stats.crashed == 1
    assert stats.succeeded + stats.cancelled == stats.accepted - 1


def test_an_input_that_waits_for_what_it_has_given(make_pool: MakePool, tmp_path: Path) -> None:
    """Nobody asks for results, and the input goes on once its items have run."""
    log = tmp_path / "log"
    pool = known_as_short(make_pool(2), deeds.note_number, (str(tmp_path / "other"), 0))
    ended = threading.Event()

    def items() -> Iterator[tuple[str, int]]:
        given = 0
        for burst in (1, 1, 7, 40, 3):
            for _ in range(burst):
                given += 1
                yield str(log), given
            give_up = monotonic() + WAIT
            while not log.exists() or len(jobs.lines(str(log))) < given:
                assert monotonic() < give_up
                ended.wait(0.001)
        ended.set()

    results = pool.map(deeds.note_number, items())
    assert ended.wait(WAIT)
    assert list(results) == list(range(1, 53))


def test_a_slow_input_gives_its_items_one_by_one(make_pool: MakePool) -> None:
    pool = known_as_short(make_pool(2), jobs.same, 1)
    came = threading.Event()

    def items() -> Iterator[int]:
        for number in range(20):
            yield number
            assert came.wait(WAIT)
            came.clear()

    results = pool.map(jobs.same, items())
    seen = []
    for result in results:
        seen.append(result)
        came.set()
    assert seen == list(range(20))


def test_the_pool_closes_while_items_gather(make_pool: MakePool) -> None:
    pool = known_as_short(make_pool(2), jobs.same, 1)
    results = pool.map_unordered(jobs.same, (number for number in range(10**9)))
    assert len({next(results) for _ in range(2000)}) == 2000
    assert pool.drain(WAIT).stats.failed == 0
    results.close()
