"""What travels between the parent and a worker process.

Jobs go down one socket, results come up another as a stream of frames, many to a read. A packet holds one job, a bundle
of them, or a chunk of a map. It is atomic (``SOCK_SEQPACKET``): there is no lock that a killed worker could die
with, and a packet that the worker has not read yet can be taken back, through a duplicate of the worker's own end.

Each frame's header (job number, status) stands outside the pickle, so a payload that cannot be read fails its own
job and nothing else. A big payload travels in a buffer of shared memory (`ipc.buffers`): the packet says which, and
brings the descriptor of one that is new.

Without ``SOCK_SEQPACKET`` (macOS) jobs go down a stream, each behind its length. What is in it cannot be taken back,
so a worker is then only ever given one job.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
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

# flags of a job
KEYWORDS = 1
IN_BUFFER = 2
"""The call describes a loan: see `ipc.buffers`."""
WHOLE = 4
"""Function and arguments are one pickle."""
CHUNK = 8
"""The call is a list of argument tuples; the items' serials and numbers follow the frame's own."""
SINGLE = 16
"""Of a chunk: it is a list of single arguments."""
CARRIED = 32
"""The extras hold something that is to be done before the job."""
BUNDLE = 64
"""The packet holds several jobs, one behind the other; the number is how many."""

ITEMS_MOST = 1 << 16
"""Serials of sendings are this far apart, so that each job of a bundle and each item of a chunk has one."""
LOADING = ITEMS_MOST - 1
"""Added to a chunk's serial: the worker reads it, and has begun no item yet."""

# statuses of a result
NOTHING, VALUE, VALUE_IN_BUFFER, ERROR, READY, BROKEN, PROGRESS, RETIRING, NOT_FOUND, VALUES, UNREADABLE = range(11)
WITHHELD = 11
"""Neither this job nor those behind it in its packet was begun, and none will be."""
UNFIT = 12
"""The worker could not set itself up, and says why as text."""
NOTE = 13
"""What the job that runs leaves for its owner, instead of what it has left before."""


def sending(serial: int) -> int:
    """What the serials of all that travels in one packet have in common."""
    return serial // ITEMS_MOST


class JobFrame(NamedTuple):
    """One job, as the worker reads it."""

    serial: int
    number: int
    flags: int
    function: bytes
    extras: bytes
    call: bytes


def job_frame(serial: int, number: int, flags: int, function: bytes, extras: bytes, call: bytes) -> bytes:
    """One job as bytes."""
    return b"".join((JOB.pack(serial, number, flags, len(function), len(extras), len(call)), function, extras, call))


def bundle_frame(serial: int, jobs: list[bytes]) -> bytes:
    """Several jobs in one packet; *serial* is the first one's."""
    return b"".join((JOB.pack(serial, len(jobs), BUNDLE, 0, 0, 0), *jobs))


def read_job(packet: bytes, at: int = 0) -> JobFrame:
    """The job or the chunk in a packet, or what stands before the jobs of a bundle; or the job at this place of one."""
    serial, number, flags, function, extras, call = JOB.unpack_from(packet, at)
    a = at + JOB.size
    b = a + function
    c = b + extras
    return JobFrame(serial, number, flags, packet[a:b], packet[b:c], packet[c : c + call])


def read_bundle(packet: bytes) -> Iterator[JobFrame]:
    """The jobs of a bundle."""
    at = JOB.size
    while at < len(packet):
        job = read_job(packet, at)
        at += JOB.size + len(job.function) + len(job.extras) + len(job.call)
        yield job


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
