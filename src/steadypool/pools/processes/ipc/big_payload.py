"""Big payloads between processes: one anonymous file in memory, its descriptor sent over a socket.

A memfd has no name and no owner: whoever dies, the kernel frees it with the last descriptor and mapping. It does
not live in ``/dev/shm``, which is 64 MB in a container. Where there is none (macOS), an unlinked temporary file
does the same.

A parcel costs one copy on the way in, and none on the way out: buffers are used where they are mapped. What is mapped
holds no descriptor, so that results can be kept for ever.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, cast

MAP_FIXED: Final = 0x10
"""The same on Linux and macOS; `mmap` does not name it."""
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
    size = max(1, sum(sizes))
    try:
        _check_size(fd, size)
        try:
            whole = memoryview(_mapped(fd, size))
        except OSError:
            whole = memoryview(_copied(fd, size))  # a process may have 65,530 mappings, as a rule
    finally:
        os.close(fd)
    parts, begin = [], 0
    for size in sizes:
        parts.append(whole[begin : begin + size])
        begin += size
    return parts


def _check_size(fd: int, size: int) -> None:
    """Memory beyond the end of a file can be mapped; to touch it ends the process with SIGBUS."""
    there = os.fstat(fd).st_size
    if there < size:
        raise ValueError(f"a parcel of {size} bytes holds {there}")


def _mapped(fd: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, size, trackfd=False)
    # A mapping of a file would keep a duplicate of the descriptor. So the file is put in the place of anonymous memory.
    mapped = mmap.mmap(-1, size)
    at = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    if _mmap()(at, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_FIXED, fd, 0) != at:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return mapped


@functools.cache
def _mmap() -> Callable[..., int | None]:
    """The C library's."""
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    numbers = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *numbers)
    return cast("Callable[..., int | None]", function)


def _copied(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    os.lseek(fd, 0, os.SEEK_SET)
    while at < size and (count := os.readv(fd, [view[at : at + (1 << 30)]])):
        at += count
    return data


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("steadypool", os.MFD_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
                raise  # else the kernel has none, or a sandbox forbids it
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        # The kernel takes 2 GiB at most in one go.
        data = data[os.write(fd, data[: 1 << 30]) :]
