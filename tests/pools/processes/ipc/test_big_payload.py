"""Parcels: what goes in comes out, and no descriptor is left."""

from __future__ import annotations

import gc
import os
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool.pools.processes.ipc.big_payload import pack, unpack


def open_descriptors() -> set[str]:
    """Those of this process."""
    return set(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=8).filter(any))
def test_the_parts_come_out(parts: list[bytes]) -> None:
    out = unpack(pack(parts), [len(part) for part in parts])
    assert [bytes(part) for part in out] == parts


def test_parts_of_any_kind() -> None:
    numbers = array("d", [1.5, 2.5])
    parts = [bytearray(b"abc"), memoryview(b"xyz"), memoryview(numbers)]
    first, second, third = unpack(pack(parts), [3, 3, 16])
    assert (bytes(first), bytes(second), third.cast("d").tolist()) == (b"abc", b"xyz", [1.5, 2.5])


def test_many_megabytes() -> None:
    data = os.urandom(1 << 20) * 40
    (out,) = unpack(pack([data]), [len(data)])
    assert out == data


def test_what_comes_out_can_be_written_to_and_is_nobody_elses() -> None:
    (out,) = unpack(pack([b"abc"]), [3])
    out[0:1] = b"X"
    assert bytes(out) == b"Xbc"


def test_no_descriptor_is_left() -> None:
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        parts = unpack(pack([b"x" * 100_000]), [100_000])
        del parts
    gc.collect()
    assert open_descriptors() == before


def test_none_is_left_when_it_fails() -> None:
    before = open_descriptors()
    with pytest.raises(TypeError):
        pack([b"abc", object()])  # type: ignore[list-item]
    fd = pack([b"abc"])
    with pytest.raises((ValueError, OSError)):
        unpack(fd, [10_000])
    assert open_descriptors() == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the other way is the only one here")
def test_a_system_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    before = open_descriptors()
    first, second = unpack(pack([b"abc", b"defg"]), [3, 4])
    assert (bytes(first), bytes(second)) == (b"abc", b"defg")
    del first, second
    gc.collect()
    assert open_descriptors() == before
