"""What travels between the parent and a worker process: packets of calls down, their outcomes up.

Theory of operation
-------------------
*A packet is calls that are sent together*, each with a serial of its own; the worker runs one after the other. It is a
list of frames, and a frame is one function with one call, or with several that were pickled as one list. So a job
alone is a frame, small jobs that wait together are some frames one behind the other, and a chunk of a map is a frame
with several calls. The header of a frame stands outside the pickle, so a call that cannot be read fails alone.

*A serial* stands for one sending of one call. The serials of a packet follow each other, and those of two packets are
`ITEMS_MOST` apart: `sending` tells which packet one belongs to. What the parent has sent stands in the worker's *hand*
in the order of the serials.

*Which call runs* says the worker's page (`ipc.status_page`), written before the call begins; while the worker loads
the calls of a frame with several, it names `LOADING`. *Outcomes* come in the order of the serials. That of a lone call
leaves at once. Those of calls that travelled together gather in a log behind the page, if they are short and quick.
Each is in the socket or in the log before the page names the next call, and both outlive the worker.

From this follows what the pool promises:

* *Blame.* When a worker dies, the parent reads the socket, then the log. Of the calls left, the one that the page
  names, and it alone, has begun. Those behind it go back into the queue. If the page says `LOADING`, all do, each for
  itself: the one that cannot be read dies alone then.
* *Fairness, and cancel.* A packet that was not read is taken out of the socket, through a duplicate of the worker's own
  end. Of one that was read the parent withholds, in the page, the calls that have not begun (`pools.processes.steal`).
  So no call waits behind a long one while a worker is idle, and what has not begun can be cancelled.
* *No lock is left behind.* A packet is atomic (``SOCK_SEQPACKET``): the worker has read it, or it has not.

A payload that is big travels in a buffer of shared memory (`ipc.buffers`), in a packet of its own: it says which, and
brings the descriptor of one that is new. Without ``SOCK_SEQPACKET`` (macOS) packets go down a stream, each behind its
length. What is in that cannot be taken back, so a worker is then only ever given one job.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

JOB: Final = struct.Struct("<QQBIII")
"""serial, job number, flags, bytes of function, of extras, of call. A serial stands for one sending of one job."""
RESULT: Final = struct.Struct("<QBdI")
"""serial, status, seconds it ran, bytes of payload"""
LENGTH: Final = struct.Struct("<IB")
"""The stream fallback: bytes that follow, and how many descriptors came with them."""

MAX_PACKET = 96 * 1024
READ_SIZE = 64 * 1024
Frame = tuple[int, int, float, bytes]
"""Serial, status, seconds and payload of a result."""
MAX_DESCRIPTORS = 64
"""In a packet."""

# flags of a frame
KEYWORDS = 1
IN_BUFFER = 2
"""The call describes a loan: see `ipc.buffers`."""
WHOLE = 4
"""Function and arguments are one pickle."""
SEVERAL = 8
"""It holds several calls: a list of argument tuples. Their serials and numbers follow the frame's own."""
SINGLE = 16
"""Of several calls: it is a tuple of single arguments."""
CARRIED = 32
"""The extras hold something that is to be done before the job."""

ITEMS_MOST = 1 << 16
"""The first serials of two packets are this far apart."""
LOADING = ITEMS_MOST - 1
"""Added to the serial of several calls: the worker reads them, and has begun none yet."""

# statuses of a result
NOTHING, VALUE, VALUE_IN_BUFFER, ERROR, READY, BROKEN, PROGRESS, RETIRING, NOT_FOUND, VALUES = range(10)
NOT_BEGUN = 10
"""Neither this call nor those behind it in its packet was begun, and none will be: it was withheld, or one of several
cannot be read."""
UNFIT = 11
"""The worker could not set itself up, and says why as text."""
NOTE = 12
"""What the job that runs leaves for its owner, instead of what it has left before."""


def sending(serial: int) -> int:
    """What the serials of all that travels in one packet have in common."""
    return serial // ITEMS_MOST


class CallFrame(NamedTuple):
    """One function with one call or several, as the worker reads it."""

    serial: int
    number: int
    flags: int
    function: bytes
    extras: bytes
    call: bytes


def call_frame(serial: int, number: int, flags: int, function: bytes, extras: bytes, call: bytes) -> bytes:
    """A frame as bytes. Some, one behind the other, are a packet."""
    return b"".join((JOB.pack(serial, number, flags, len(function), len(extras), len(call)), function, extras, call))


def read_packet(packet: bytes) -> list[CallFrame]:
    """The frames of a packet."""
    frames: list[CallFrame] = []
    at, size = 0, len(packet)
    while at < size:
        serial, number, flags, function, extras, call = JOB.unpack_from(packet, at)
        a = at + JOB.size
        b = a + function
        c = b + extras
        at = c + call
        frames.append(CallFrame(serial, number, flags, packet[a:b], packet[b:c], packet[c:at]))
    return frames


class Line:
    """One end of the socket that jobs go down, and that descriptors of big results come up."""

    def __init__(self, end: socket.socket) -> None:
        # A default timeout of the program's would make the pair non-blocking.
        end.setblocking(True)
        self.end = end
        self.keeps_packets = end.type == getattr(socket, "SOCK_SEQPACKET", None)
        # Asking for new bytes of a packet's greatest size would have the allocator fetch and return them each time.
        self._buffer = memoryview(bytearray(MAX_PACKET))

    def send(self, packet: bytes, fds: Sequence[int] = (), *, wait: bool = False) -> bool:
        """Send a packet, with these descriptors; false if there is no room now.

        Raises:
            OSError: the other end is gone.
        """
        if not self.keeps_packets:
            self._send_with(LENGTH.pack(len(packet), len(fds)), fds, 0)
            self.end.sendall(packet)
            return True
        flags = 0 if wait else _DONT_WAIT
        try:
            if fds:
                self._send_with(packet, fds, flags)
            else:
                self.end.send(packet, flags)
        except BlockingIOError:
            return False
        return True

    def _send_with(self, data: bytes, fds: Sequence[int], flags: int) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.end.sendmsg([data], ancillary, flags)

    def receive(self, *, wait: bool = True) -> tuple[bytes, Sequence[int]] | None:
        """The next packet and its descriptors; ``None`` if there is none now, empty bytes at the end.

        If this process may have no more descriptors, those are missing that come last.

        Raises:
            OSError: the other end is gone.
        """
        flags = 0 if wait else _DONT_WAIT
        try:
            if self.keeps_packets:
                return self._receive_with(MAX_PACKET, flags)
            head, fds = self._receive_with(LENGTH.size, flags | (int(socket.MSG_WAITALL) if wait else 0))
        except BlockingIOError:
            return None
        if len(head) < LENGTH.size:
            return b"", fds
        return _receive_exactly(self.end, LENGTH.unpack(head)[0]), fds

    def _receive_with(self, size: int, flags: int) -> tuple[bytes, Sequence[int]]:
        length, ancillary, _, _ = self.end.recvmsg_into([self._buffer[:size]], _ROOM, flags | _CLOEXEC)
        data = bytes(self._buffer[:length])
        if not ancillary:
            return data, ()
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return data, fds

    def close(self) -> None:
        """Close this end."""
        self.end.close()


class FrameStream:
    """The frames of results that come up a stream."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._partial = b""
        # Asking for that many new bytes at each read would have the allocator fetch and return them each time.
        self._buffer = memoryview(bytearray(READ_SIZE))

    def read(self) -> tuple[list[Frame], bool]:
        """Frames that have come, and whether the stream has ended."""
        data = self._receive()
        return (self._complete(data), False) if data else ([], data is not None)

    def read_rest(self) -> list[Frame]:
        """All the frames that have come, of a process that sends no more."""
        frames = []
        while data := self._receive():
            frames += self._complete(data)
        return frames

    def _receive(self) -> bytes | None:
        """The next piece of the stream: ``None`` if there is none now, empty at its end."""
        try:
            length = self._end.recv_into(self._buffer, READ_SIZE, _DONT_WAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return bytes(self._buffer[:length])

    def _complete(self, piece: bytes) -> list[Frame]:
        """The frames that this piece of the stream completes."""
        data = self._partial + piece
        frames, at, size = [], 0, len(data)
        while size - at >= RESULT.size:
            serial, status, seconds, length = RESULT.unpack_from(data, at)
            end = at + RESULT.size + length
            if end > size:
                break
            frames.append((serial, status, seconds, data[at + RESULT.size : end]))
            at = end
        self._partial = data[at:]
        return frames


_ROOM = socket.CMSG_SPACE(4 * MAX_DESCRIPTORS)
# Plain numbers: "or" of two members of an `IntFlag` is code in Python.
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_DONT_WAIT = int(socket.MSG_DONTWAIT)


def lost_descriptor(what: str) -> OSError:
    """Why a descriptor has not come: most likely this process has as many as it may."""
    try:
        os.close(os.dup(0))
    except OSError as error:
        if error.errno != errno.EBADF:
            return OSError(error.errno, f"{os.strerror(error.errno or 0)}: {what}")
    return OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: {what}")


def _receive_exactly(end: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = end.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)


def make_line(packets: bool) -> tuple[Line, Line]:
    """The two ends of a line: the parent's and the worker's."""
    kind = socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM
    parent, worker = socket.socketpair(socket.AF_UNIX, kind)
    return Line(parent), Line(worker)


def can_keep_packets() -> bool:
    """Whether this system has atomic packets between processes."""
    if not hasattr(socket, "SOCK_SEQPACKET"):
        return False
    try:
        for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
            end.close()
    except OSError:
        return False
    return True
