"""Memory that is written once, by the program, and read by many jobs: see `pools.processes.shared`.

Theory of operation
-------------------
A *segment* is an anonymous file, mapped, that the program holds a descriptor of. Its descriptor goes along with every
packet of a job that uses it: so it does not matter what the worker has read before, or what was taken back from it.
The worker maps it at the first time, and keeps that in its `Attached`; it holds no descriptor.

The program's segment lives as long as anything refers to it: the handle, views, and the pickles of jobs that have no
outcome yet. When it goes, its last byte is set to 1, and the workers that were sent it are woken: each drops its
mapping, also while it runs a job, which holds on to what it uses. A worker that attaches it only then looks at the byte
after it has noted the segment: so either it sees the 1, or it is woken after that.

Whichever process dies, the kernel frees the memory with the last mapping and descriptor.
"""

from __future__ import annotations

import itertools
import mmap
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from typing import Protocol

from steadypool.pools.processes.ipc.memory_file import Buffer, anonymous_file, mapped, write_parts
from steadypool.pools.processes.ipc.wire import lost_descriptor

LEAST = 32 * 1024
"""Bytes: what is smaller would travel in the pickle."""
_keys = itertools.count(1)


class Holder(Protocol):
    """A worker that was sent a segment."""

    def wake(self) -> None:
        """Have it look for segments that are gone."""


class Segment(mmap.mmap):
    """Shared memory, read-only for all; the last byte says whether the program has let it go."""

    key = 0
    """Its name in the processes of one program."""
    fd: int | None = None
    """Where it is the program's own."""
    holders: weakref.WeakSet[Holder]

    @property
    def is_gone(self) -> bool:
        """Whether the program has let it go."""
        return self[-1] != 0


def make_segment(parts: Sequence[Buffer], offsets: Sequence[int], size: int) -> Segment:
    """A segment that holds these parts at these offsets.

    Raises:
        OSError: no memory, or no descriptor, to be had.
    """
    size = max(size, LEAST) + 1
    fd = anonymous_file()
    try:
        os.ftruncate(fd, size)
        write_parts(fd, parts, offsets)
        segment = mapped(fd, size, Segment, writable=False)
    except BaseException:
        os.close(fd)
        raise
    segment.key, segment.fd, segment.holders = next(_keys), fd, weakref.WeakSet()
    weakref.finalize(segment, _let_go, fd, size, os.getpid(), segment.holders)
    return segment


def _let_go(fd: int, size: int, pid: int, holders: weakref.WeakSet[Holder]) -> None:
    """Nothing refers to the segment any more. On any thread; in a forked child it stays the parent's."""
    if os.getpid() == pid:
        os.pwrite(fd, b"\1", size - 1)
        for holder in holders:
            holder.wake()
    os.close(fd)


def attach(fd: int, size: int) -> Segment:
    """The segment of another process. Closes *fd*."""
    try:
        return mapped(fd, size, Segment, writable=False)
    finally:
        os.close(fd)


def segment_of(buffer: memoryview) -> Segment | None:
    """The segment of this process's own that the buffer is all of."""
    owner: object = buffer
    while isinstance(owner, memoryview):
        owner = owner.obj
    return owner if isinstance(owner, Segment) and owner.fd is not None and buffer.nbytes == len(owner) else None


class Attached:
    """The segments that a worker has mapped."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        """Where the worker is woken."""
        self._segments: dict[int, Segment] = {}
        self._listener: threading.Thread | None = None

    def take(self, wanted: Sequence[tuple[int, int]], fds: Sequence[int]) -> list[memoryview]:
        """Segments by their keys and sizes. Closes the descriptors.

        Raises:
            OSError: one cannot be had here.
        """
        left = [*fds]
        try:
            if len(left) < len(wanted):
                raise lost_descriptor("the memory of a shared value did not come with the job")
            return [self._take(key, size, left.pop(0)) for key, size in wanted]
        finally:
            for fd in left:
                os.close(fd)

    def _take(self, key: int, size: int, fd: int) -> memoryview:
        segment = self._segments.get(key)
        if segment is not None:
            os.close(fd)
        else:
            segment = self._segments[key] = attach(fd, size)
            if segment.is_gone:  # after the line above
                self._segments.pop(key, None)
            elif self._listener is None:
                self._listener = threading.Thread(target=self._listen, daemon=True)
                self._listener.start()
        return memoryview(segment).toreadonly()

    def _listen(self) -> None:
        while self._end.recv(64):
            self._drop_gone()  # apart: a name here would keep one as long as this waits

    def _drop_gone(self) -> None:
        for key, segment in [*self._segments.items()]:
            if segment.is_gone:
                self._segments.pop(key, None)
