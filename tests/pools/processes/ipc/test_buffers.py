"""Buffers of shared memory: what goes in comes out, a slab is used again once nobody looks at it, nothing is left."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool.pools.processes.ipc import buffers
from steadypool.pools.processes.ipc.buffers import (
    FREE,
    GONE,
    LENT,
    NUMBERS,
    POOL_BYTES,
    SMALL,
    Description,
)
from tests.pools.contract.stage import WAIT
from tests.pools.processes.ipc.ends import Ends

HEAD = buffers._HEAD
BIG = 2 * SMALL
"""Bytes that are used where they lie."""


@pytest.fixture
def ends() -> Any:
    ends = Ends()
    yield ends
    ends.close()


def open_descriptors() -> set[str]:
    """Those of this process."""
    return set(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@given(st.lists(st.lists(st.binary(max_size=5000), min_size=1, max_size=8), min_size=1, max_size=4))
def test_the_parts_come_out(payloads: list[list[bytes]]) -> None:
    ends = Ends()
    for parts in payloads:
        assert [bytes(part) for part in ends.carry(*parts)] == parts
    ends.close()


@pytest.mark.parametrize("size", [0, 1, SMALL - 64, SMALL, SMALL + 1, 5 << 20, POOL_BYTES + 1])
def test_sizes_around_every_limit(ends: Ends, size: int) -> None:
    data = np.arange(size, dtype=np.uint8)
    for _ in range(2):
        first, second = ends.carry(b"abc", data.data)
        assert bytes(first) == b"abc" and np.array_equal(np.frombuffer(second, np.uint8), data)


def test_parts_of_any_kind_begin_where_numbers_may(ends: Ends) -> None:
    numbers = array("d", [1.5, 2.5])
    parts = ends.carry(bytearray(b"abc"), memoryview(b"xyz"), memoryview(numbers), bytes(BIG))
    assert (bytes(parts[0]), bytes(parts[1]), parts[2].cast("d").tolist()) == (b"abc", b"xyz", [1.5, 2.5])
    assert all(np.frombuffer(part, np.uint8).ctypes.data % 64 == 0 for part in parts)


@pytest.mark.parametrize("size", [10, BIG])
def test_what_comes_out_can_be_written_to_and_is_nobody_elses(ends: Ends, size: int) -> None:
    sent = bytes(size)
    [one], [other] = ends.carry(sent), ends.carry(sent)
    one[0:1] = b"X"
    assert (bytes(one[:1]), sent[:1], bytes(other[:1])) == (b"X", b"\0", b"\0")


def test_a_slab_is_lent_again_once_the_last_view_is_gone(ends: Ends) -> None:
    [view] = ends.carry(bytes(BIG))
    assert list(ends.marks[:3]) == [FREE, LENT, FREE]
    held = np.frombuffer(view.toreadonly()[5:], np.uint8)
    del view
    assert ends.marks[1] == LENT
    ends.carry(bytes(BIG))
    assert len(ends.slabs()) == 2
    del held
    assert list(ends.marks[:3]) == [FREE, FREE, FREE]
    loan = ends.pool.lend([bytes(BIG)])
    assert loan.number == 1 and loan.fd is None
    ends.open(loan)
    assert len(ends.slabs()) == 2


def test_a_slab_that_is_far_too_large_is_not_taken(ends: Ends) -> None:
    ends.carry(bytes(8 << 20))
    ends.carry(bytes(BIG))
    assert sorted(ends.slabs().values()) == [BIG + HEAD, (8 << 20) + HEAD]
    ends.carry(bytes(3 << 20))
    assert len(ends.slabs()) == 2


def test_a_pool_is_bounded(ends: Ends) -> None:
    kept = [ends.pool.lend([bytes(10 << 20)]) for _ in range(10)]
    assert sum(ends.slabs().values()) <= POOL_BYTES
    assert [loan.number for loan in kept] == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0]
    assert [bytes(ends.open(loan)[0]) == bytes(10 << 20) for loan in kept] == [True] * 10
    ends.carry(bytes(60 << 20))  # those that are free make room
    assert list(ends.slabs().values()) == [(60 << 20) + HEAD]


def test_more_slabs_than_numbers(ends: Ends) -> None:
    loans = [ends.pool.lend([bytes([n % 256]) * 1000]) for n in range(NUMBERS + 10)]
    assert sorted({loan.number for loan in loans}) == list(range(NUMBERS))
    for number, loan in enumerate(loans):
        assert bytes(ends.open(loan)[0]) == bytes([number % 256]) * 1000


def test_what_is_kept_is_copied_from_some_size_on(ends: Ends) -> None:
    kept = [ends.carry(bytes([n]) * (10 << 20)) for n in range(12)]
    assert [list(ends.marks).count(mark) for mark in (LENT, GONE)] == [3, 0]
    assert [bytes(view[:1]) for [view] in kept] == [bytes([n]) for n in range(12)]
    assert len(ends.slabs()) == 4
    kept.clear()
    assert LENT not in ends.marks


def test_a_new_slab_that_is_not_read_is_forgotten(ends: Ends) -> None:
    before = open_descriptors()
    for _ in range(3):
        ends.pool.was_sent(ends.pool.lend([b"never read" * 9999]), False)
        assert ends.pool.is_empty and open_descriptors() == before


def test_a_known_slab_that_is_not_read_is_lent_again(ends: Ends) -> None:
    ends.carry(b"read it" * 9999)
    ends.pool.was_sent(ends.pool.lend([b"not yet" * 9999]), False)
    again = ends.pool.lend([b"at last" * 9999])
    assert (again.number, again.fd) == (1, None)
    assert bytes(ends.open(again)[0]) == b"at last" * 9999


def test_it_is_taken_back_from_the_readers_socket_before_the_sender_has_gone_on(ends: Ends) -> None:
    before = open_descriptors()
    loan = ends.pool.lend([bytes(BIG)])
    ends.pool.take_back(loan.number, True)
    again = ends.pool.lend([b"x" * BIG])
    ends.pool.was_sent(loan, True)
    assert bytes(ends.open(again)[0]) == b"x" * BIG
    assert open_descriptors() == before


def test_a_descriptor_that_is_lost(ends: Ends) -> None:
    loan = ends.pool.lend([bytes(BIG)])
    assert loan.fd is not None
    os.close(loan.fd)
    with pytest.raises(OSError, match="did not come"):
        ends.reader.open(Description.read(loan.describe()), None)
    assert ends.marks[1] == GONE
    [view] = ends.carry(b"y" * BIG)
    assert bytes(view) == b"y" * BIG and len(ends.slabs()) == 1


def test_more_than_a_process_may_map_is_copied(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    loan = ends.pool.lend([b"z" * BIG])

    def refuse(fd: int, size: int, kind: object) -> Any:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(buffers, "mapped", refuse)
        [view] = ends.open(loan)
    assert bytes(view) == b"z" * BIG
    view[0] = 1
    [view] = ends.carry(b"w" * BIG)
    assert bytes(view) == b"w" * BIG and len(ends.slabs()) == 1


def test_trim_gives_back_what_is_free_and_old(ends: Ends) -> None:
    kept = ends.carry(bytes(BIG))
    ends.carry(bytes(4 << 20))
    assert ends.pool.trim(before=0.0)
    assert len(ends.slabs()) == 2
    assert not ends.pool.trim(before=float("inf"))
    assert list(ends.slabs().values()) == [BIG + HEAD]
    del kept
    assert not ends.pool.trim(before=float("inf"))
    assert ends.pool.is_empty
    [view] = ends.carry(b"v" * (4 << 20))
    assert bytes(view) == b"v" * (4 << 20)


def test_the_pages_go_when_the_reader_forgets() -> None:
    ends = Ends()
    loan = ends.pool.lend([b"1" * (4 << 20)])
    assert loan.fd is not None
    file = os.dup(loan.fd)
    kept, free = ends.open(loan), ends.reader.forget()
    assert not free and ends.marks[1] == GONE
    assert os.fstat(file).st_blocks and bytes(kept[0][:1]) == b"1"
    kept.clear()
    assert not os.fstat(file).st_blocks, "they went with the last view"
    ends.carry(b"2" * (4 << 20))
    assert [len(memory) for memory in ends.reader.forget()] == [(4 << 20) + HEAD]
    os.close(file)
    ends.close()


def test_a_fork_leaves_to_the_child_what_it_sees(ends: Ends) -> None:
    [view] = ends.carry(b"1" * BIG)
    answer, tell = os.pipe()
    go, begin = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(go, 1)
        os.write(tell, bytes(view[:1]))
        os._exit(0)
    assert ends.marks[1] == GONE
    del view
    for _ in range(5):
        ends.carry(b"2" * BIG)
    os.write(begin, b"!")
    assert os.read(answer, 1) == b"1"
    os.waitpid(pid, 0)
    for fd in (answer, tell, go, begin):
        os.close(fd)


def test_so_does_what_comes_between_the_pinning_and_the_fork() -> None:
    """The program's handler is registered first, and so is called last before the fork."""
    program = """
import os

views = []
os.register_at_fork(before=lambda: views.extend(ends.carry(b"1" * 2 * SMALL)))

from steadypool.pools.processes.ipc.buffers import GONE, SMALL
from tests.pools.processes.ipc.ends import Ends

ends = Ends()
if not os.fork():
    os._exit(0)
os.wait()
assert ends.marks[1] == GONE, ends.marks[1]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WAIT)


def test_a_forked_child_gives_nothing_back(ends: Ends) -> None:
    [view] = ends.carry(b"1" * BIG)
    ends.reader._pid = -1  # as in a child
    del view
    assert ends.marks[1] == LENT


def test_views_outlive_both_ends() -> None:
    ends = Ends()
    views = [ends.carry(bytes([n]) * BIG)[0] for n in range(5)]
    ends.close()
    assert [bytes(view) == bytes([n]) * BIG for n, view in enumerate(views)] == [True] * 5
    views.clear()
    late = ends.pool.lend([b"late"])
    assert late.number == 0
    ends.pool.was_sent(late, True)


@pytest.mark.parametrize("parts", [[b"x" * 100_000], [b"x" * (1 << 20)] * 100])
def test_no_descriptor_is_left(parts: Sequence[bytes]) -> None:
    gc.collect()
    before = open_descriptors()
    ends = Ends()
    for _ in range(10):
        ends.carry(*parts)
    assert open_descriptors() == before, "also while the slabs are there"
    ends.pool.was_sent(ends.pool.lend([bytes(5 << 20)]), False)
    ends.pool.was_sent(ends.pool.lend([bytes(POOL_BYTES)]), False)
    ends.close()
    assert open_descriptors() == before


def test_none_is_left_when_it_fails(ends: Ends) -> None:
    before = open_descriptors()
    with pytest.raises(TypeError):
        ends.pool.lend([b"abc", object()])  # type: ignore[list-item]
    with pytest.raises(OverflowError):
        ends.pool.lend(_TooLarge())
    loan = ends.pool.lend([b"abc"])
    with pytest.raises(ValueError, match="holds"):
        ends.reader.open(Description.read(loan.describe())._replace(capacity=1 << 30), loan.fd)
    assert open_descriptors() == before


class _TooLarge(list[Any]):
    """Parts that cannot be copied, once their size was looked at."""

    def __init__(self) -> None:
        super().__init__([b"abc"])
        self._looks = 0

    def __iter__(self) -> Any:
        self._looks += 1
        if self._looks > 1:
            raise OverflowError
        return super().__iter__()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the other way is the only one here")
def test_a_system_without_memfd_and_without_holes_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    for name in ("MADV_REMOVE", "MADV_HUGEPAGE"):
        monkeypatch.delattr(mmap, name)
    before = open_descriptors()
    ends = Ends()
    for size in (10, BIG, 3 << 20, POOL_BYTES + 1):
        for _ in range(3):
            [view] = ends.carry(b"q" * size)
            assert bytes(view) == b"q" * size
    ends.pool.trim(float("inf"))
    ends.reader.forget()
    [view] = ends.carry(b"r" * BIG)
    assert bytes(view) == b"r" * BIG
    ends.close()
    assert open_descriptors() == before
