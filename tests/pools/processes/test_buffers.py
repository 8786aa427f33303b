"""Memory of big payloads in a pool: used again, kept, given back when the pool rests, right in a job's children."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from steadypool import WorkerCrashed
from steadypool.pools.processes import trim
from steadypool.pools.processes.ipc.pickles import OUT_OF_BAND, Functions, load
from steadypool.pools.processes.packets import pack_chunk
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes.methods import METHODS, on_every_method
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
MB = 1 << 20
kept: list[Any] = []


def shared_bytes(pid: int | str = "self") -> int:
    """Bytes of shared memory that a process has pages of."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssShmem")]
    return int(line.split()[1]) * 1024


def mapped_files(pid: int | str = "self") -> set[str]:
    """Anonymous files in memory that a process has mapped, by their inodes."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "/memfd:steadypool" in line}


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come to hold."""
    give_up = monotonic() + WAIT
    while not holds():
        assert monotonic() < give_up
        threading.Event().wait(0.01)


def ones(size: int) -> Any:
    return np.ones(size, np.uint8)


def total(array: Any) -> int:
    return int(array.sum())


def total_or_die(array: Any) -> int:
    if array[0] == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return total(array)


def keep(array: Any) -> int:
    kept.append(array)
    return int(array[0])


def kept_total() -> list[int]:
    return [int(array.sum()) for array in kept]


def forget() -> None:
    kept.clear()


def fork_and_look(array: Any, go: str, answer: str) -> int:
    """Have a child look at the argument once it may, and say what it sees."""
    if not os.fork():
        with open(go, "rb"):
            seen = int(array.min()), int(array.max())
        Path(f"{answer}.new").write_text(f"{seen}")
        os.rename(f"{answer}.new", answer)
        os._exit(0)
    return int(array[0])


def return_from_a_child(size: int, number: int) -> Any:
    """The job returns in its child as well, which must not write into memory that its parent uses."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return np.full(size, number if pid else 255, np.uint8)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that nobody uses is given back at once."""
    monkeypatch.setattr(trim, "AFTER", 0.05)


@on_every_method
def test_memory_is_used_again(make_pool: MakePool, method: str) -> None:
    pool = warm(make_pool(1))
    [pid] = pool.worker_pids()
    before = mapped_files(pid)
    for number in range(40):
        result = pool.submit(jobs.same, np.full(MB, number, np.uint8)).result(WAIT)
        assert result.min() == result.max() == number
        del result
    # One for each way, and another if the thread that had it has not gone on when the next comes.
    assert len(mapped_files(pid) - before) <= 6


def test_memory_is_bounded(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    [pid] = pool.worker_pids()
    for size in (MB, 3 * MB, 7 * MB, 20 * MB, 30 * MB, 60 * MB, 100 * MB, 5 * MB):
        assert pool.submit(jobs.same, ones(size)).result(WAIT).nbytes == size
    until(lambda: shared_bytes() < 150 * MB and shared_bytes(pid) < 150 * MB)


@pytest.mark.usefixtures("soon")
def test_memory_is_given_back_by_a_pool_that_rests(make_pool: MakePool) -> None:
    pool = warm(make_pool(2))
    before = shared_bytes()
    for future in [pool.submit(jobs.same, ones(2 * MB)) for _ in range(20)]:
        assert future.result(WAIT).nbytes == 2 * MB
    del future
    until(lambda: all(shared_bytes(pid) < MB for pid in pool.worker_pids()) and shared_bytes() - before < MB)
    until(lambda: pool._core.timers.next_due() is None)  # and it does not wake again
    assert pool.submit(total, ones(2 * MB)).result(WAIT) == 2 * MB


@pytest.mark.usefixtures("soon")
def test_what_is_kept_is_given_back_when_it_is_dropped(make_pool: MakePool) -> None:
    """Also by a pool that rests by then, and by a worker that does."""
    pool = warm(make_pool(1))
    [pid] = pool.worker_pids()
    before = shared_bytes()  # of pools that other tests have
    results = [pool.submit(ones, 4 * MB).result(WAIT) for _ in range(3)]
    assert [pool.submit(keep, ones(4 * MB)).result(WAIT) for _ in range(3)] == [1, 1, 1]
    until(lambda: not pool._workers.fleet.trim._is_planned)
    assert [total(result) for result in results] == [4 * MB] * 3
    assert pool.submit(kept_total).result(WAIT) == [4 * MB] * 3
    results.clear()
    until(lambda: shared_bytes() - before < 13 * MB)
    pool.submit(forget).result(WAIT)
    until(lambda: shared_bytes(pid) < MB and shared_bytes() - before < MB)


def test_results_that_are_kept_are_each_their_own(make_pool: MakePool) -> None:
    pool = warm(make_pool(2))
    results = list(pool.map(np.full, [MB] * 100, range(100)))
    assert pool.drain(WAIT).ok
    assert [(int(array.min()), int(array.max())) for array in results] == [(n, n) for n in range(100)]


def test_arguments_that_a_job_keeps_stay_as_they_are(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    for _ in range(10):
        for size in (MB, 20 * MB):
            pool.submit(keep, ones(size)).result(WAIT)
            pool.submit(total, np.zeros(size, np.uint8)).result(WAIT)
    assert pool.submit(kept_total).result(WAIT) == [MB, 20 * MB] * 10


def test_items_of_a_map_travel_together_in_a_buffer(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    arrays = [np.full(40_000, number, np.uint8) for number in range(200)]
    results = list(pool.map(jobs.same, arrays, chunksize=20))
    assert [(int(array.min()), int(array.max())) for array in results] == [(n, n) for n in range(200)]
    [worker] = pool._workers.workers
    capacities = [slab.capacity for slab in worker.outgoing._slabs.values()]
    assert max(capacities) >= 400_000, "twenty in one"


def test_big_bytes_of_a_chunk_travel_beside_its_pickle() -> None:
    blocks = [os.urandom(size) for size in (OUT_OF_BAND - 1, OUT_OF_BAND, 100_000)]
    packed = pack_chunk(Functions(main_by_name=True), len, [(block,) for block in blocks])
    assert packed.call is not None
    stream, *beside = packed.call.parts()
    assert [len(part) for part in beside] == [OUT_OF_BAND, 100_000]
    assert list(load(stream, beside)) == blocks


def test_what_is_not_begun_of_a_chunk_in_a_buffer_runs_elsewhere(make_pool: MakePool) -> None:
    """Its worker is killed: the items that it had not begun keep their arguments."""
    pool = warm(make_pool(2))
    arrays = [np.full(30_000, number, np.uint8) for number in range(100)]
    results = pool.map(total_or_die, arrays, chunksize=25)
    assert [next(results) for _ in range(10)] == [30_000 * number for number in range(10)]
    with pytest.raises(WorkerCrashed):
        next(results)
    stats = pool.stats()
    assert stats.crashed == 1
    assert pool.submit(total, arrays[7]).result(WAIT) == 210_000


@on_every_method
def test_a_child_of_a_job_sees_the_jobs_argument(make_pool: MakePool, method: str, tmp_path: Path) -> None:
    pool = warm(make_pool(1))
    go = tmp_path / "go"
    os.mkfifo(go)
    answers = [tmp_path / f"{number}" for number in range(3)]
    for number, answer in enumerate(answers):
        array = np.full(MB, number, np.uint8)
        assert pool.submit(fork_and_look, array, str(go), str(answer)).result(WAIT) == number
    for _ in range(10):
        assert pool.submit(total, np.full(MB, 7, np.uint8)).result(WAIT) == 7 * MB
    with open(go, "wb"):
        until(lambda: all(answer.exists() for answer in answers))
    assert [answer.read_text() for answer in answers] == [f"({number}, {number})" for number in range(3)]


def test_a_child_that_returns_from_the_job_writes_nothing(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    for number in range(20):
        result = pool.submit(return_from_a_child, 300_000, number).result(WAIT)
        assert result.min() == result.max() == number
        del result
    assert len(pool._workers.workers) == 1


def test_a_fork_of_the_program_leaves_it_its_results(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    array = pool.submit(ones, MB).result(WAIT)
    answer, tell = os.pipe()
    go, begin = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(go, 1)
        os.write(tell, f"{total(array)}".encode())
        os._exit(0)
    del array
    for _ in range(5):
        assert pool.submit(np.zeros, MB, np.uint8).result(WAIT).sum() == 0
    os.write(begin, b"!")
    assert os.read(answer, 99) == f"{MB}".encode()
    os.waitpid(pid, 0)
    for fd in (answer, tell, go, begin):
        os.close(fd)


def test_what_was_taken_back_unread_goes_to_another(make_pool: MakePool, stage: Stage) -> None:
    """Cancelled in a worker's socket, again and again."""
    pool = warm(make_pool(1))
    [(first, actor)] = stage.occupy(pool)
    for number in range(50):
        future = pool.submit(total, np.full(MB // 4, number, np.uint8))
        if number % 5:
            assert future.cancel()
    actor.close()
    first.result(WAIT)
    assert pool.submit(total, ones(MB // 4)).result(WAIT) == MB // 4
    assert pool.drain(WAIT).ok


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_are_killed_at_any_moment(make_pool: MakePool, method: str) -> None:
    """Each result is right, or the job has crashed; and nothing is left."""
    before = mapped_files()
    pool = warm(make_pool(2))
    chance = random.Random(1)
    futures = {}
    for number in range(300):
        size = chance.choice([40_000, 150_000, MB])
        futures[pool.submit(jobs.same, np.full(size, number % 256, np.uint8))] = number
        if number % 25 == 24 and (pids := pool.worker_pids()):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
    crashed = 0
    for future, number in futures.items():
        if (error := future.exception(WAIT)) is not None:
            assert isinstance(error, WorkerCrashed)
            crashed += 1
            continue
        array = future.result()
        assert array.min() == array.max() == number % 256
    assert crashed <= 12
    del array, future, futures
    assert pool.drain(WAIT).ok
    until(lambda: mapped_files() <= before)
