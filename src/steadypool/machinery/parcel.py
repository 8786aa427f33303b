"""Big payloads between processes: one anonymous file in memory, its descriptor sent over a socket.

A memfd has no name and no owner: whoever dies, the kernel frees it with the last descriptor and mapping. It does
not live in ``/dev/shm``, which is 64 MB in a container. Where there is none (macOS), an unlinked temporary file
does the same.

A parcel costs one copy on the way in, and none on the way out: buffers are used where they are mapped.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview


def pack(parts: Sequence[Buffer]) -> int:
    """Write *parts* one after the other into a new parcel; returns its descriptor, which the caller owns.

    Raises:
        OSError: no memory, or no descriptor, to be had.
    """
    fd = _anonymous_file()
    try:
        for part in parts:
            _write_all(fd, memoryview(part).cast("B"))
    except BaseException:
        os.close(fd)
        raise
    return fd


def unpack(fd: int, sizes: Sequence[int]) -> list[memoryview]:
    """The parts of a parcel, by their sizes in bytes. Closes *fd*; the memory goes with the last view."""
    try:
        mapped = mmap.mmap(fd, max(1, sum(sizes)))
    finally:
        os.close(fd)
    whole = memoryview(mapped)
    parts, begin = [], 0
    for size in sizes:
        parts.append(whole[begin : begin + size])
        begin += size
    return parts


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("steadypool", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        # The kernel takes 2 GiB at most in one go.
        data = data[os.write(fd, data[: 1 << 30]) :]
