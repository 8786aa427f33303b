"""Anonymous files in memory, and mappings of them that hold no descriptor.

A memfd has no name and no owner: whichever process dies, the kernel frees it with the last descriptor and mapping. It
does not live in ``/dev/shm``, which is 64 MB in a container. Where there is none (macOS), an unlinked temporary file
does the same.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar, cast

MAP_FIXED: Final = 0x10
"""The same on Linux and macOS; `mmap` does not name it."""
_POPULATE: Final = getattr(mmap, "MAP_POPULATE", 0)
_HUGE: Final = 2 << 20
BIG_BYTES: Final = 4 << 20
"""From here on big pages are worth it for `bytes`. NumPy asks for them from the same size on."""
_PIECE: Final = 1 << 20
"""Copied with the GIL held: a tenth of a millisecond."""
_WRITABLE: Final = 0x200
"""``PyBUF_WRITE`` of CPython."""
Buffer = bytes | bytearray | memoryview
M = TypeVar("M", bound=mmap.mmap)


def anonymous_file() -> int:
    """The descriptor of a new file, which the caller owns.

    Raises:
        OSError: no memory, or no descriptor, to be had.
    """
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("steadypool", os.MFD_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
                raise  # else the kernel has none, or a sandbox forbids it
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def write_parts(fd: int, parts: Sequence[Buffer], offsets: Sequence[int]) -> None:
    """Write each part at its offset."""
    for part, at in zip(parts, offsets, strict=True):
        data = memoryview(part).cast("B")
        while data:
            # The kernel takes 2 GiB at most in one go.
            count = os.pwrite(fd, data[: 1 << 30], at)
            data, at = data[count:], at + count


def mapped(fd: int, size: int, kind: type[M], *, writable: bool = True) -> M:
    """The file in the memory of this process, pages and all, as an object of that kind.

    Raises:
        ValueError: the file is shorter. To touch memory beyond its end would end the process with SIGBUS.
        OSError: no memory, or too many mappings: a process may have 65,530, as a rule.
    """
    if (there := os.fstat(fd).st_size) < size:
        raise ValueError(f"a buffer of {size} bytes holds {there}")
    flags, rights = mmap.MAP_SHARED | _POPULATE, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    if sys.version_info >= (3, 13):
        return kind(fd, size, flags=flags, prot=rights, trackfd=False)
    # A mapping of a file would keep a duplicate of the descriptor. So the file is put in the place of anonymous memory.
    memory = kind(-1, size)
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if _mmap()(at, size, rights, flags | MAP_FIXED, fd, 0) != at:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return memory


@functools.cache
def _mmap() -> Callable[..., int | None]:
    """The C library's."""
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    numbers = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *numbers)
    return cast("Callable[..., int | None]", function)


def read_copy(fd: int, size: int) -> memoryview:
    """What the file holds, in memory of its own."""
    view, at = private_memory(size), 0
    while at < size and (count := os.preadv(fd, [view[at : at + (1 << 30)]], at)):
        at += count
    return view


def private_memory(size: int) -> memoryview:
    """New memory; a big piece of it in big pages, which cost a tenth of small ones."""
    if size < _HUGE:
        return memoryview(bytearray(size))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    advise(memory, "MADV_HUGEPAGE")
    return memoryview(memory)


def copy_into(place: memoryview, data: memoryview) -> None:
    """Copy in pieces, between which other threads may run."""
    for at in range(0, len(data), _PIECE):
        place[at : at + _PIECE] = data[at : at + _PIECE]


def in_big_pages(data: Buffer) -> bytes:
    """A copy as `bytes` whose memory comes in big pages. In small ones that takes four times as long.

    As CPython's own constructor, with the advice in between. No other code has the object before it is full.
    """
    size = memoryview(data).nbytes
    new_bytes, address_of, view_of, madvise = _of_c()
    made = new_bytes(None, size)
    begin = address_of(made)
    aligned = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    madvise(aligned, size - (aligned - begin), mmap.MADV_HUGEPAGE)  # if that is refused, the pages are small
    with view_of(begin, size, _WRITABLE) as view:
        copy_into(view, memoryview(data))
    return made


@functools.cache
def _of_c() -> tuple[Callable[..., bytes], Callable[..., int], Callable[..., memoryview], Callable[..., int]]:
    """Of CPython: make `bytes` that hold nothing yet, their address, a view of memory. Of the C library: the advice."""
    size, address = ctypes.c_ssize_t, ctypes.c_void_p
    make = ctypes.PYFUNCTYPE(ctypes.py_object, address, size)
    address_of = ctypes.PYFUNCTYPE(address, ctypes.py_object)
    view = ctypes.PYFUNCTYPE(ctypes.py_object, address, size, ctypes.c_int)
    advice = ctypes.CFUNCTYPE(ctypes.c_int, address, ctypes.c_size_t, ctypes.c_int)
    return (
        make(("PyBytes_FromStringAndSize", ctypes.pythonapi)),
        address_of(("PyBytes_AsString", ctypes.pythonapi)),
        view(("PyMemoryView_FromMemory", ctypes.pythonapi)),
        advice(("madvise", ctypes.CDLL(None))),
    )


def advise(memory: mmap.mmap, advice: str) -> None:
    """Give the kernel this advice (the name of a constant of `mmap`) for all of *memory*."""
    if (number := getattr(mmap, advice, None)) is not None:
        with suppress(OSError):  # it does not have to follow: the memory is the same without
            memory.madvise(number)
