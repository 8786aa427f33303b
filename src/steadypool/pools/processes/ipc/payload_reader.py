"""Big arguments, as a worker loads them: what was copied into a buffer, and segments that it shares."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from steadypool.pools.processes.ipc.buffers import BufferReader, Description
from steadypool.pools.processes.ipc.pickles import load
from steadypool.pools.processes.ipc.segments import Attached


class PayloadReader:
    """Loads what `BufferPool.lend` has put into a buffer."""

    def __init__(self, marks: memoryview, end: socket.socket) -> None:
        self._buffers = BufferReader(marks)
        self._attached = Attached(end)

    def load(self, description: bytes, fds: Sequence[int]) -> object:
        """The value. Closes the descriptors.

        Raises:
            OSError: memory of it cannot be had here.
            Exception: whatever unpickling raises.
        """
        lent = Description.read(description)
        slab, shared = (fds[:1], fds[1:]) if lent.is_new else ((), fds)
        try:
            received = self._buffers.open(lent, slab[0] if slab else None)
        except BaseException:
            for fd in shared:
                os.close(fd)
            raise
        segments = self._attached.take([(key, size) for _, key, size in lent.shared], shared)
        stream, *buffers = received.parts()
        for (at, _, _), segment in zip(lent.shared, segments, strict=True):
            buffers.insert(at, segment)
        return load(stream, buffers)
