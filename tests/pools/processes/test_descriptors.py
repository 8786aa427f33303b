"""What holds a descriptor, and what hands one over: results that are kept, and the channels of `multiprocessing`."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from multiprocessing import resource_sharer
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import pytest

from tests.pools.contract.stage import WAIT
from tests.pools.processes.methods import METHODS, on_every_method

BIG = 40_000
kept: list[Any] = []


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def big(number: int) -> bytearray:
    return bytearray([number % 256]) * BIG


def keep(value: Any) -> int:
    kept.append(value)
    return descriptors()


def use_channels(*channels: Any) -> None:
    global given
    given = channels


def put(value: object) -> None:
    given[0].put(value)


def send(value: object) -> None:
    given[0].send(value)


def send_by(end: Any, value: bytes) -> None:
    end.send(value)


def count() -> int:
    with given[0].get_lock():
        given[0].value += 1
        return int(given[0].value)


def fill() -> None:
    given[0][:] = [1, 2, 3]


def set_event() -> None:
    with given[1], given[2]:
        given[0].set()


def wait_at_barrier() -> int:
    return int(given[0].wait(WAIT))


def write_memory() -> None:
    given[0].buf[0] = 7


def note(key: str) -> None:
    given[0][key] = os.getpid()


def make_pipe() -> tuple[Any, int]:
    mine, theirs = multiprocessing.Pipe()
    keep(theirs)
    return mine, theirs.fileno()


def answer() -> None:
    kept[-1].send("back")


def test_results_that_are_kept_hold_no_descriptor(shared_pool: Any) -> None:
    shared_pool.submit(big, 0).result(WAIT)
    before = descriptors()
    results = list(shared_pool.map(big, range(200)))
    assert descriptors() == before
    results[7][0] = 1  # and they can still be written to
    assert results[8] == bytearray([8]) * BIG


def test_arguments_that_a_job_keeps_hold_no_descriptor(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    counts = [pool.submit(keep, big(number)).result(WAIT) for number in range(20)]
    assert len(set(counts[1:])) == 1


@pytest.fixture
def start(method: str, make_pool: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a pool of so many workers that are given these channels, and closes what comes with them."""

    def start(workers: int, *channels: Any, initializer: Any = use_channels) -> Any:
        return make_pool(workers, initializer=initializer, initargs=channels)

    return start


@pytest.fixture
def context(method: str) -> Any:
    return multiprocessing.get_context(method)


@on_every_method
@pytest.mark.parametrize("by_value", [False, True], ids=["by name", "lambda"])
def test_a_queue_by_initargs(start: Callable[..., Any], context: Any, by_value: bool) -> None:
    queue = context.Queue()
    pool = start(2, queue, initializer=(lambda *channels: use_channels(*channels)) if by_value else use_channels)
    for number in range(6):
        pool.submit(put, number).result(WAIT)
    assert sorted(queue.get(timeout=WAIT) for _ in range(6)) == list(range(6))
    assert pool.drain(WAIT).ok
    queue.close()
    queue.join_thread()
    queue._reader.close()
    queue._writer.close()


@on_every_method
def test_a_pipe_by_initargs(start: Callable[..., Any], context: Any) -> None:
    mine, its = context.Pipe()
    with mine, its:
        start(1, its).submit(send, "hello").result(WAIT)
        assert mine.poll(WAIT) and mine.recv() == "hello"


@pytest.fixture(scope="module")
def kept_by_multiprocessing() -> Iterator[dict[str, Any]]:
    """What `multiprocessing` holds descriptors for until the end: its heap's memory, its managers' processes."""
    made = {}
    for method in METHODS:
        context = multiprocessing.get_context(method)
        made[method] = context.Value("i", 0), context.Array("i", 3), context.Manager()
    yield made
    for *_, manager in made.values():
        manager.shutdown()


@on_every_method
def test_a_value_and_an_array_by_initargs(
    kept_by_multiprocessing: dict[str, Any], start: Callable[..., Any], method: str
) -> None:
    value, array, _ = kept_by_multiprocessing[method]
    pool = start(2, value)
    assert sorted(pool.submit(count).result(WAIT) for _ in range(4)) == [1, 2, 3, 4]
    assert value.value == 4
    start(1, array).submit(fill).result(WAIT)
    assert list(array) == [1, 2, 3]


@on_every_method
def test_events_locks_and_barriers_by_initargs(start: Callable[..., Any], context: Any) -> None:
    event = context.Event()
    start(1, event, context.Lock(), context.Semaphore(2)).submit(set_event).result(WAIT)
    assert event.is_set()
    pool = start(2, context.Barrier(2))
    assert sorted(job.result(WAIT) for job in [pool.submit(wait_at_barrier) for _ in range(2)]) == [0, 1]


@on_every_method
def test_shared_memory_and_a_manager_by_initargs(
    kept_by_multiprocessing: dict[str, Any], start: Callable[..., Any], method: str
) -> None:
    memory = SharedMemory(create=True, size=10)
    try:
        start(1, memory).submit(write_memory).result(WAIT)
        assert memory.buf[0] == 7
    finally:
        memory.close()
        memory.unlink()
    seen = kept_by_multiprocessing[method][2].dict()
    pool = start(1, seen)
    for key in ("here", "there"):
        pool.submit(note, key).result(WAIT)
    assert set(seen.keys()) == {"here", "there"}
    seen._tls.connection.close()


@on_every_method
def test_a_worker_gets_each_descriptor_once(start: Callable[..., Any], context: Any) -> None:
    """Whatever was tried in vain to pickle the initializer."""
    counts = []
    for initializer in (use_channels, lambda *channels: use_channels(*channels)):
        mine, its = context.Pipe()
        with mine, its:
            pool = start(1, its, initializer=initializer)
            counts.append(pool.submit(descriptors).result(WAIT))
            assert pool.drain(WAIT).ok
    assert counts[0] == counts[1]


@pytest.fixture
def _no_sharer_is_left() -> Iterator[None]:
    yield
    resource_sharer.stop(WAIT)


@on_every_method
@pytest.mark.usefixtures("_no_sharer_is_left")
def test_a_pipe_as_an_argument_and_as_a_result(method: str, make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    mine, its = multiprocessing.Pipe()
    with mine, its:
        pool.submit(send_by, its, b"hello").result(WAIT)
        assert mine.poll(WAIT) and mine.recv() == b"hello"
    end, _ = pool.submit(make_pipe).result(WAIT)
    with end:
        pool.submit(answer).result(WAIT)
        assert end.poll(WAIT) and end.recv() == "back"


@pytest.mark.usefixtures("_no_sharer_is_left")
def test_a_socket_as_an_argument(make_pool: Callable[..., Any]) -> None:
    mine, its = socket.socketpair()
    with mine, its:
        make_pool(1).submit(send_over, its).result(WAIT)
        mine.settimeout(WAIT)
        assert mine.recv(5) == b"hello"


def send_over(end: socket.socket) -> None:
    with end:
        end.sendall(b"hello")


@on_every_method
@pytest.mark.parametrize("make", ["Queue", "Lock", "Event"])
def test_what_only_goes_by_initargs_is_refused_as_an_argument(
    method: str, context: Any, shared_pool: Any, make: str
) -> None:
    thing = getattr(context, make)()
    with pytest.raises(RuntimeError, match="through inheritance"):
        shared_pool.submit(keep, thing).result(WAIT)
    if make == "Queue":
        thing.close()
        thing.join_thread()
        thing._reader.close()
        thing._writer.close()
