"""Items that travel together are jobs all the same: each has its own context, id, result and outcome."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import PoolClosed, WorkerCrashed, current_job
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
collected: list[int] = []


def count_up(_: object) -> int:
    """Set a context variable, of which the next item must not see anything."""
    variable.set(variable.get() + 1)
    return variable.get()


def own_id(_: object) -> tuple[str, str, int]:
    """What the job knows of itself."""
    job = current_job()
    return job.id, job.task, job.attempt


def collect(number: int) -> list[int]:
    """Return what the next item will change."""
    collected.append(number)
    return collected


def fork_at(item: tuple[int, str]) -> int:
    """Item 3 forks a child, which returns as its parent does."""
    number, log = item
    if number == 3:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
    jobs.note(log, str(number))
    return number


class KillsItsReader:
    """An argument that ends the process that loads it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


class CannotBeLoaded:
    """An argument that raises when it is loaded."""

    def __reduce__(self) -> Any:
        return jobs.fail, ("not to be loaded",)


def assert_at_rest(pool: Any) -> None:
    """Nothing runs or waits, and every place in the queue is free."""
    stats = pool.stats()
    assert (stats.waiting, stats.running) == (0, 0)
    assert len(pool._core.queue.room) == pool._core.queue.made()


def test_each_item_has_its_own_context(make_pool: MakePool) -> None:
    pool = make_pool(2)
    assert list(pool.map(count_up, range(200), chunksize=50)) == [1] * 200
    assert_at_rest(pool)


@pytest.mark.parametrize("function", [own_id, lambda item: own_id(item)], ids=["by name", "by value"])
def test_each_item_knows_itself(make_pool: MakePool, function: Any) -> None:
    pool = make_pool(2, name="known")
    facts = list(pool.map(function, range(100), chunksize=25))
    assert [id for id, _, _ in facts] == [f"known-{number}" for number in range(1, 101)]
    assert {(task.rpartition(".")[2], attempt) for _, task, attempt in facts} <= {("own_id", 1), ("<lambda>", 1)}


def test_a_result_is_what_it_was_when_the_item_returned(make_pool: MakePool) -> None:
    pool = make_pool(1)
    results = list(pool.map(collect, range(20), chunksize=20))
    assert results == [list(range(number + 1)) for number in range(20)]
    assert_at_rest(pool)


@pytest.mark.parametrize("value", [None, 1.5, "text", b"x" * 5000, {"a": [1]}, ("path", 3, None), (1, [2])], ids=repr)
def test_results_of_every_kind(make_pool: MakePool, value: object) -> None:
    pool = make_pool(2)
    assert list(pool.map(jobs.same, [value] * 50, chunksize=10)) == [value] * 50
    assert list(pool.map_unordered(jobs.same, [value] * 50, chunksize=10)) == [value] * 50
    assert_at_rest(pool)


@on_each_parent
def test_an_argument_that_kills_its_reader_crashes_alone(make_pool: MakePool) -> None:
    pool = make_pool(2)
    results = pool.map_unordered(jobs.same, [1, 2, KillsItsReader(), 4, 5], chunksize=5)
    seen = []
    with pytest.raises(WorkerCrashed):
        seen.extend(results)
    stats = pool.drain(WAIT).stats
    assert (stats.succeeded + stats.cancelled, stats.crashed) == (4, 1)


def test_an_argument_that_cannot_be_loaded_fails_alone(make_pool: MakePool) -> None:
    pool = make_pool(2)
    results = pool.map(jobs.same, [1, 2, CannotBeLoaded(), 4, 5], chunksize=5)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="not to be loaded"):
        next(results)
    stats = pool.drain(WAIT).stats
    assert (stats.failed, stats.succeeded + stats.cancelled) == (1, 4)


def test_a_child_that_an_item_forks_runs_no_other_item(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    log = str(tmp_path / "log")
    assert list(pool.map(fork_at, [(number, log) for number in range(6)], chunksize=6)) == list(range(6))
    assert sorted(jobs.lines(log)) == ["0", "1", "2", "3", "3", "4", "5"]


def test_the_books_balance_whenever_somebody_looks(make_pool: MakePool) -> None:
    pool = make_pool(2)
    total = 0
    for number, result in enumerate(pool.map_unordered(jobs.same, range(3000), chunksize=30)):
        total += result
        if number % 50 == 0:
            stats = pool.stats()
            assert stats.accepted == stats.waiting + stats.running + stats.succeeded
    assert total == sum(range(3000))
    assert_at_rest(pool)


def test_somebody_begins_to_listen(make_pool: MakePool) -> None:
    pool = make_pool(2)
    results = pool.map(jobs.same, range(2000), chunksize=20)
    assert [next(results) for _ in range(100)] == list(range(100))
    Watch(pool)
    assert list(results) == list(range(100, 2000))
    assert pool.stats().succeeded == 2000
    assert_at_rest(pool)


def test_a_drain_gives_back_what_waits(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(1, cancel_grace=0.1))
    results = pool.map(deeds.same_or_act, [stage.address, *range(99)], chunksize=10)
    stage.enter()
    report = pool.drain(0.2)
    assert report.stats.accepted == 101, "one has warmed it up"
    assert report.stats.interrupted >= 1
    assert report.stats.returned == len(report.unfinished) > 80
    assert report.stats.returned + report.stats.interrupted + report.stats.crashed == 100
    with pytest.raises(PoolClosed):
        list(results)


def test_closing_the_map_frees_the_queue(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(1))
    results = pool.map_unordered(deeds.same_or_act, [stage.address, *range(999)], chunksize=100)
    actor = stage.enter()
    results.close()
    actor.tell("return")
    pool.submit(jobs.nothing).result(WAIT)
    stats = pool.drain(WAIT).stats
    assert stats.cancelled >= 800
    assert stats.cancelled + stats.succeeded == stats.accepted
