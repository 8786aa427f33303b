"""Arguments and results: by reference, by value, and beside the stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from steadypool import WorkerCrashed
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds
from tests.pools.processes.methods import METHODS
from tests.pools.processes.remains import memory_files
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
BIG = 64 << 20


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    """How workers are started. Most of these tests share theirs."""
    return request.param


def test_lambdas_and_closures(shared_pool: Any) -> None:
    factor = 3

    def times(number: int) -> int:
        return number * factor

    assert shared_pool.submit(lambda: 42).result(WAIT) == 42
    assert shared_pool.submit(times, 2).result(WAIT) == 6
    assert shared_pool.submit(lambda fn, *args: fn(*args), times, 3).result(WAIT) == 9
    assert shared_pool.submit(lambda: times).result(WAIT)(4) == 12
    assert list(shared_pool.map(lambda number: number * factor, range(5), chunksize=2)) == [0, 3, 6, 9, 12]


def test_local_classes(shared_pool: Any) -> None:
    class Local:
        def __init__(self, number: int) -> None:
            self.number = number

        def plus(self, number: int) -> Local:
            return Local(self.number + number)

    result = shared_pool.submit(Local(1).plus, 2).result(WAIT)
    assert type(result) is Local
    assert result.number == 3


@pytest.mark.parametrize("kind_of_bytes", [bytes, bytearray])
def test_64_mb_of_bytes_both_ways(shared_pool: Any, kind_of_bytes: type[bytes] | type[bytearray]) -> None:
    sent = kind_of_bytes(os.urandom(1 << 20) * 64)
    result = shared_pool.submit(jobs.same, sent).result(WAIT)
    assert type(result) is kind_of_bytes
    assert result == sent


def test_a_64_mb_array_both_ways(shared_pool: Any) -> None:
    sent = np.arange(BIG // 8, dtype=np.int64)
    result = shared_pool.submit(jobs.same, sent).result(WAIT)
    assert np.array_equal(result, sent)
    result[0] = -1  # writable, as from anybody else
    assert sent[0] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.arange(100_000.0).reshape(100, 1000),
        lambda: np.arange(100_000.0).reshape(100, 1000).T,
        lambda: np.asfortranarray(np.arange(100_000.0).reshape(100, 1000)),
        lambda: np.arange(100_000)[::3],
        lambda: np.arange(100_000)[::-1],
        lambda: np.arange(100_000).reshape(10, 10_000)[:, 5:9_000:7],
        lambda: np.zeros((0, 5)),
        lambda: np.array(3.5),
        lambda: np.array([("a", 1), ("b", 2)] * 10_000, dtype=[("name", "U5"), ("number", "i4")]),
        lambda: np.array([{"a": 1}, None, "x"] * 10, dtype=object),
        lambda: np.array([f"text {number}" for number in range(20_000)]),
    ],
    ids=[
        "plain",
        "transposed",
        "fortran",
        "strided",
        "backwards",
        "window",
        "empty",
        "0-d",
        "records",
        "objects",
        "text",
    ],
)
def test_arrays_of_every_layout(shared_pool: Any, make: Callable[[], Any]) -> None:
    sent = make()
    result = shared_pool.submit(jobs.same, sent).result(WAIT)
    assert result.dtype == sent.dtype
    assert result.shape == sent.shape
    assert np.array_equal(result, sent)


def test_a_read_only_array_stays_read_only(shared_pool: Any) -> None:
    sent = np.arange(100_000)
    sent.flags.writeable = False
    assert np.array_equal(shared_pool.submit(jobs.same, sent).result(WAIT), sent)


def test_big_things_inside_others(shared_pool: Any) -> None:
    array = np.arange(100_000)
    sent = {"bytes": b"x" * 200_000, "bytearray": bytearray(b"y" * 200_000), "arrays": [array, array], "text": "z" * 99}
    (result,), keywords = shared_pool.submit(jobs.everything, sent, key=b"k" * 300_000).result(WAIT)
    assert keywords == {"key": b"k" * 300_000}
    assert np.array_equal(result["arrays"][1], array)
    assert {name: result[name] for name in ("bytes", "bytearray", "text")} == {
        name: sent[name] for name in ("bytes", "bytearray", "text")
    }


@pytest.mark.parametrize("size", [0, 1, 32_767, 32_768, 32_769, 49_000, 49_152, 49_153, 65_536, 98_304, 200_000])
def test_sizes_around_every_limit(shared_pool: Any, size: int) -> None:
    for value in (b"x" * size, bytearray(size), "x" * size, [1] * (size // 100)):
        assert shared_pool.submit(jobs.same, value).result(WAIT) == value
        assert shared_pool.submit(jobs.same, value=[value]).result(WAIT) == [value]


def test_a_big_function(shared_pool: Any) -> None:
    table = os.urandom(300_000)
    assert shared_pool.submit(lambda: len(table)).result(WAIT) == 300_000


def test_many_big_jobs_at_once(shared_pool: Any) -> None:
    """More than sockets hold; each result is its own."""
    futures = [shared_pool.submit(jobs.same, bytes([number]) * 100_000) for number in range(200)]
    for number, future in enumerate(futures):
        assert future.result(WAIT) == bytes([number]) * 100_000


def test_memory_holds_no_descriptor(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    [pid] = pool.worker_pids()
    before, in_worker = memory_files(), len(memory_files(pid))
    results = [pool.submit(jobs.same, np.arange(100_000)).result(WAIT) for _ in range(5)]
    assert memory_files() == before
    assert len(memory_files(pid)) == in_worker
    assert [int(result[-1]) for result in results] == [99_999] * 5


@pytest.mark.parametrize("method", ["forkserver", "fork"])
def test_memory_is_given_back_when_the_worker_dies(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    before = len(memory_files())
    for _ in range(3):
        error = pool.submit(kill_with, np.arange(1_000_000)).exception(WAIT)
        assert isinstance(error, WorkerCrashed)
    pool.submit(jobs.nothing).result(WAIT)
    assert len(memory_files()) == before


def kill_with(array: Any) -> None:
    """Die with an argument in hand."""
    deeds.kill()


def test_a_result_outlives_its_pool(make_pool: MakePool) -> None:
    pool = make_pool(1)
    result = pool.submit(jobs.same, np.arange(100_000)).result(WAIT)
    pool.drain(WAIT)
    assert result.sum() == sum(range(100_000))


def test_a_big_argument_is_carried_again_for_a_retry(make_pool: MakePool, stage: Stage) -> None:
    """The worker that had it dies before it has begun: the job goes to another with its argument."""
    pool = make_pool(1)
    [(first, actor)] = stage.occupy(pool)
    behind = [pool.submit(jobs.same, bytes([number]) * 1_000_000) for number in range(3)]
    pid, _ = actor.ask("worker")
    os.kill(pid, 9)
    assert isinstance(first.exception(WAIT), WorkerCrashed)
    assert [future.result(WAIT)[:2] for future in behind] == [bytes([number]) * 2 for number in range(3)]


def test_what_a_job_sees_is_a_copy(shared_pool: Any) -> None:
    sent = bytearray(100_000)
    assert shared_pool.submit(scribble, sent).result(WAIT) == b"!"
    assert sent == bytearray(100_000)


def scribble(data: bytearray) -> bytes:
    """Change the argument."""
    data[0] = ord("!")
    return bytes(data[:1])
