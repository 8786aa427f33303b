"""`share`: a value that many jobs read, sent once."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steadypool import AsyncPool, ProcessPool, Shared, ThreadPool, WorkerCrashed, share
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes.methods import on_every_method
from tests.pools.processes.remains import memory_files
from tests.pools.processes.test_buffers import mapped_files, until
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
MB = 1 << 20


def total(shared: Shared[Any], times: int = 1) -> int:
    return int(shared.value.sum()) * times


def try_to_write(shared: Shared[Any]) -> str:
    try:
        shared.value[0] = 1
    except (ValueError, TypeError) as error:
        return type(error).__name__
    return "written"


def address(shared: Shared[Any]) -> int:
    return int(shared.value.ctypes.data)


def inside(container: Any, *, other: Any = None) -> list[int]:
    return [int(shared.value[5]) for shared in container["list"]] + ([] if other is None else [int(other.value[6])])


def as_it_is(value: Any) -> Any:
    return value


def keep(shared: Shared[Any]) -> int:
    kept.append(shared.value)
    return 1


def kept_total() -> int:
    return int(kept[0].sum())


def forget() -> None:
    kept.clear()


def total_of_given() -> int:
    return total(given[0])


def give(*shared: Any) -> None:
    given[:] = shared


def kill_with(shared: Shared[Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def total_in_a_child(shared: Shared[Any]) -> int:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, str(total(shared)).encode())
        os._exit(0)
    answer = int(os.read(read, 99))
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    return answer


def read_all(shared: Shared[memoryview]) -> tuple[bytes, bool]:
    return bytes(shared.value), shared.value.readonly


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_a_pool_of_its_own(shared: Shared[Any]) -> int:
    with ProcessPool(1) as pool:
        return pool.submit(total, shared).result(WAIT)


kept: list[Any] = []
given: list[Any] = []


@pytest.fixture(autouse=True)
def _descriptors_are_closed() -> Iterator[None]:
    """Once the pools have dropped what jobs were made of, which they do on a thread of their own."""
    before = len(memory_files())
    yield
    gc.collect()
    until(lambda: len(memory_files()) <= before)


@pytest.fixture
def array() -> Any:
    return np.arange(200_000)


@on_every_method
def test_many_jobs_read_one_array(shared_pool: Any, method: str, array: Any) -> None:
    expected = int(array.sum())
    with share(array) as shared:
        array[:] = 0  # it is a copy
        futures = [shared_pool.submit(total, shared, times) for times in range(50)]
        assert [future.result(WAIT) for future in futures] == [expected * times for times in range(50)]
        assert list(shared_pool.map(total, [shared] * 50, range(50), chunksize=10)) == [
            expected * times for times in range(50)
        ]
        assert shared.nbytes == array.nbytes


def test_it_is_mapped_once_and_nothing_of_it_is_copied(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    with share(np.ones(8 * MB, np.uint8)) as shared:
        assert len({pool.submit(address, shared).result(WAIT) for _ in range(10)}) == 1


@pytest.mark.parametrize("size", [10, 100_000])
def test_it_is_read_only_everywhere(shared_pool: Any, size: int) -> None:
    with share(np.zeros(size)) as shared:
        assert shared_pool.submit(try_to_write, shared).result(WAIT) == "ValueError"
        assert try_to_write(shared) == "ValueError"
    with share(bytearray(size)) as shared_bytes:
        assert shared_pool.submit(try_to_write, shared_bytes).result(WAIT) == "TypeError"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_seen_as_a_view(shared_pool: Any, kind: Any) -> None:
    data = os.urandom(100_000)
    with share(kind(data)) as shared:
        assert shared_pool.submit(read_all, shared).result(WAIT) == (data, True)
        assert isinstance(shared.value, memoryview) and bytes(shared.value) == data


def test_views_keep_their_shape() -> None:
    view = memoryview(bytes(range(48))).cast("i", [3, 4])
    with share(view) as shared:
        assert (shared.value.format, shared.value.shape, shared.value.tolist()) == ("i", (3, 4), view.tolist())
    with share(memoryview(np.zeros(3, ">f8"))) as shared:
        assert shared.value.nbytes == 24
    with share(b"") as empty:
        assert bytes(empty.value) == b""


def test_handles_inside_other_things(shared_pool: Any) -> None:
    with share(np.arange(10)) as one, share(np.arange(100, 110)) as other:
        sent = {"list": [one, other, one], "more": np.ones(100_000)}
        assert shared_pool.submit(inside, sent, other=one).result(WAIT) == [5, 105, 5, 6]


def test_more_handles_than_a_packet_takes_descriptors(shared_pool: Any) -> None:
    handles = [share(np.arange(number, number + 10)) for number in range(100)]
    assert shared_pool.submit(inside, {"list": handles}).result(WAIT) == [number + 5 for number in range(100)]
    for handle in handles:
        handle.close()


def test_jobs_that_were_given_it_run_after_it_was_closed(make_pool: MakePool, stage: Stage, array: Any) -> None:
    pool = warm(make_pool(1))
    [(first, actor)] = stage.occupy(pool)
    before = len(memory_files())
    with share(array) as shared:
        futures = [pool.submit(total, shared) for _ in range(5)]
    with pytest.raises(ValueError, match="was closed"):
        pool.submit(total, shared).result(WAIT)
    with pytest.raises(ValueError, match="was closed"):
        _ = shared.value
    assert "closed" in repr(shared)
    actor.close()
    assert [future.result(WAIT) for future in futures] == [int(array.sum())] * 5
    first.result(WAIT)
    until(lambda: len(memory_files()) == before)
    shared.close()


@pytest.mark.parametrize("how", ["closed", "dropped"])
@pytest.mark.parametrize("method", ["forkserver", "fork"])
def test_its_memory_is_freed_with_its_handle(make_pool: MakePool, method: str, how: str, stage: Stage) -> None:
    """In a worker that rests, and in one that runs a long job that has nothing to do with it."""
    pool = warm(make_pool(2))
    pids = pool.worker_pids()
    before = len(memory_files())
    mapped = mapped_files()
    shared = share(np.ones(MB, np.uint8))
    [mine] = mapped_files() - mapped
    while not all(mine in mapped_files(pid) for pid in pids):
        assert {future.result(WAIT) for future in [pool.submit(total, shared) for _ in range(20)]} == {MB}
    stage.start(pool)
    if how == "closed":
        shared.close()
    else:
        del shared
    gc.collect()
    until(lambda: not any(mine in mapped_files(pid) for pid in [*pids, "self"]))
    assert len(memory_files()) == before


def test_an_array_that_is_made_of_it_keeps_the_memory(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    [pid] = pool.worker_pids()
    before = mapped_files()
    with share(np.ones(MB, np.uint8)) as shared:
        [memory] = mapped_files() - before
        assert pool.submit(keep, shared).result(WAIT) == 1
        mine = shared.value
    assert int(mine.sum()) == MB
    del mine
    assert pool.submit(kept_total).result(WAIT) == MB
    pool.submit(forget).result(WAIT)
    until(lambda: memory not in mapped_files(pid))


def test_workers_that_die_with_it(make_pool: MakePool, array: Any) -> None:
    pool = warm(make_pool(1))
    before = descriptors()
    with share(array) as shared:
        for _ in range(3):
            assert isinstance(pool.submit(kill_with, shared).exception(WAIT), WorkerCrashed)
            assert pool.submit(total, shared).result(WAIT) == int(array.sum())
    until(lambda: descriptors() == before)


def test_cancelled_and_taken_back(make_pool: MakePool, stage: Stage, array: Any) -> None:
    pool = warm(make_pool(1))
    [(first, actor)] = stage.occupy(pool)
    before = len(memory_files())
    with share(array) as shared:
        futures = [pool.submit(total, shared, number) for number in range(50)]
        assert all(future.cancel() for future in futures[::2])
        actor.close()
        first.result(WAIT)
        assert [future.result(WAIT) for future in futures[1::2]] == [int(array.sum()) * n for n in range(50)][1::2]
    until(lambda: len(memory_files()) == before)


def test_a_child_of_a_job_reads_it(shared_pool: Any, array: Any) -> None:
    with share(array) as shared:
        assert shared_pool.submit(total_in_a_child, shared).result(WAIT) == int(array.sum())
        assert shared_pool.submit(total, shared).result(WAIT) == int(array.sum())


def test_a_fork_of_the_program_leaves_it_alone(shared_pool: Any, array: Any) -> None:
    shared = share(array)
    pid = os.fork()
    if not pid:
        shared.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert shared_pool.submit(total, shared).result(WAIT) == int(array.sum())
    shared.close()


@on_every_method
def test_it_goes_to_workers_by_initargs(make_pool: MakePool, method: str, array: Any) -> None:
    with share(array) as shared:
        pool = make_pool(2, initializer=give, initargs=(shared,))
        assert {future.result(WAIT) for future in [pool.submit(total_of_given) for _ in range(10)]} == {
            int(array.sum())
        }


def test_what_else_pickles_it_makes_a_copy(make_pool: MakePool, array: Any) -> None:
    with share(array) as shared:
        for again in (pickle.loads(pickle.dumps(shared)), pickle.loads(pickle.dumps(shared, 4)), copy.copy(shared)):
            assert total(again) == int(array.sum())
            assert try_to_write(again) == "ValueError"
        assert total(make_pool(1).submit(as_it_is, shared).result(WAIT)) == int(array.sum())


def test_a_job_hands_it_on(make_pool: MakePool, array: Any) -> None:
    with share(array) as shared:
        assert make_pool(1).submit(in_a_pool_of_its_own, shared).result(WAIT) == int(array.sum())


def test_on_threads_and_on_asyncio(array: Any) -> None:
    async def on_asyncio(shared: Shared[Any]) -> int:
        async def read(shared: Shared[Any]) -> int:
            return total(shared)

        async with AsyncPool(2) as pool:
            return int(await (await pool.submit(read, shared)))

    with share(array) as shared:
        with ThreadPool(2) as pool:
            assert list(pool.map(total, [shared] * 4, range(4))) == [int(array.sum()) * n for n in range(4)]
        assert asyncio.run(on_asyncio(shared)) == int(array.sum())


class OfThisModule:
    """A value of the user's own, with an array in it."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def sum(self) -> int:
        return int(self.array.sum())


def test_values_of_the_users_own(shared_pool: Any, array: Any) -> None:
    class Local(OfThisModule):
        pass

    for kind in (OfThisModule, Local):
        with share(kind(array)) as shared:
            assert shared_pool.submit(total, shared).result(WAIT) == int(array.sum())


@pytest.mark.parametrize(
    "value",
    [list(range(100_000)), "x" * 100_000, np.zeros((1000, 1000))[:, ::2]],
    ids=["list", "text", "strided"],
)
def test_what_would_not_be_shared_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="nothing would be shared"):
        share(value)


def test_mistakes(array: Any) -> None:
    with share(array) as shared, pytest.raises(TypeError, match="already"):
        share(shared)
    with pytest.raises(TypeError, match="pickle"):
        share({"lock": threading.Lock(), "array": array})


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors")
def test_a_worker_holds_no_descriptor_of_it(make_pool: MakePool, array: Any) -> None:
    pool = warm(make_pool(1))
    before = pool.submit(descriptors).result(WAIT)
    with share(array) as shared:
        for _ in range(20):
            pool.submit(total, shared).result(WAIT)
        assert pool.submit(descriptors).result(WAIT) == before
