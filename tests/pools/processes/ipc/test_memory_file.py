"""Memory from the system."""

from __future__ import annotations

import mmap
import os

import pytest

from steadypool.pools.processes.ipc.memory_file import BIG_BYTES, in_big_pages

linux = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="only Linux has big pages")


@linux
@pytest.mark.parametrize("size", [BIG_BYTES - 1, BIG_BYTES, BIG_BYTES + mmap.PAGESIZE + 5])
def test_a_copy_in_big_pages_is_like_any_other(size: int) -> None:
    block = os.urandom(size)
    for source in (block, bytearray(block), memoryview(block)):
        copy = in_big_pages(source)
        assert type(copy) is bytes and copy == block and hash(copy) == hash(block)
        assert copy[-1:] + b"more" == block[-1:] + b"more" and len(copy + b"") == size
