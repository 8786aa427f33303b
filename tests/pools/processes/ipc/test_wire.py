"""The wire: jobs as packets, on sockets with and without packets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool.pools.processes.ipc.memory_file import anonymous_file, read_copy, write_parts
from steadypool.pools.processes.ipc.wire import (
    IN_BUFFER,
    KEYWORDS,
    WHOLE,
    CallFrame,
    Line,
    call_frame,
    can_keep_packets,
    make_line,
    read_packet,
)
from tests.patience import WAIT

frames = st.builds(
    CallFrame,
    serial=st.integers(0, 2**64 - 1),
    number=st.integers(0, 2**64 - 1),
    flags=st.sampled_from([0, KEYWORDS, IN_BUFFER, WHOLE, KEYWORDS | IN_BUFFER]),
    function=st.binary(max_size=300),
    extras=st.binary(max_size=300),
    call=st.binary(max_size=3000),
)


@given(st.lists(frames, min_size=1, max_size=20))
def test_frames_in_a_packet(calls: list[CallFrame]) -> None:
    assert read_packet(b"".join(call_frame(*call) for call in calls)) == calls


KINDS = [pytest.param(True, id="packets"), pytest.param(False, id="stream")]


@pytest.fixture
def line(request: pytest.FixtureRequest) -> Iterator[tuple[Line, Line]]:
    """The two ends."""
    if request.param and not can_keep_packets():
        pytest.skip("no packets on this system")
    ends = make_line(request.param)
    yield ends
    for end in ends:
        end.close()


both = pytest.mark.parametrize("line", KINDS, indirect=True)


@both
def test_what_is_sent_is_received_in_order(line: tuple[Line, Line]) -> None:
    parent, worker = line
    packets = [b"one", b"x" * 40_000, b"three"]
    for packet in packets:
        assert parent.send(packet, wait=True)
        assert worker.receive() == (packet, ())
    assert worker.send(b"back") and parent.receive() == (b"back", ())


@both
def test_nothing_there_now(line: tuple[Line, Line]) -> None:
    assert line[1].receive(wait=False) is None


@both
def test_a_descriptor_travels_with_its_packet(line: tuple[Line, Line]) -> None:
    parent, worker = line
    fd = anonymous_file()
    write_parts(fd, [b"big data"], [0])
    parent.send(b"before")
    parent.send(b"with", [fd, fd], wait=True)
    parent.send(b"after")
    os.close(fd)
    assert worker.receive() == (b"before", ())
    received = worker.receive()
    assert received is not None and received[0] == b"with" and len(received[1]) == 2
    assert not os.get_inheritable(received[1][0])
    assert bytes(read_copy(received[1][1], 8)) == b"big data"
    for fd in received[1]:
        os.close(fd)
    assert worker.receive() == (b"after", ())


@both
def test_the_end(line: tuple[Line, Line]) -> None:
    parent, worker = line
    parent.close()
    received = worker.receive()
    assert received is not None and received[0] == b""


@both
def test_nobody_at_the_other_end(line: tuple[Line, Line]) -> None:
    parent, worker = line
    worker.close()
    with pytest.raises(OSError):
        parent.send(b"x", wait=True)


@both
def test_a_default_timeout_of_the_programs_changes_nothing(line: tuple[Line, Line]) -> None:
    socket.setdefaulttimeout(0.01)
    try:
        parent, worker = make_line(line[0].keeps_packets)
    finally:
        socket.setdefaulttimeout(None)
    assert parent.end.gettimeout() is None and worker.end.gettimeout() is None
    parent.close(), worker.close()


@both
def test_one_waits_for_the_other(line: tuple[Line, Line]) -> None:
    parent, worker = line
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend(worker.receive() for _ in range(300)), daemon=True)
    thread.start()
    for number in range(300):
        assert parent.send(str(number).encode() * 100, wait=True)
    thread.join(WAIT)
    assert got == [(str(number).encode() * 100, ()) for number in range(300)]


packets_only = pytest.mark.parametrize("line", KINDS[:1], indirect=True)


@packets_only
def test_a_full_socket_says_so_and_keeps_what_it_has(line: tuple[Line, Line]) -> None:
    parent, worker = line
    sent = 0
    while parent.send(b"x" * 1000):
        sent += 1
    assert sent > 10
    for _ in range(sent):
        assert worker.receive(wait=False) == (b"x" * 1000, ())
    assert worker.receive(wait=False) is None
    assert parent.send(b"again")


@packets_only
def test_what_was_not_read_can_be_taken_back_and_is_read_by_nobody_else(line: tuple[Line, Line]) -> None:
    parent, worker = line
    duplicate = Line(worker.end.dup())
    for number in range(500):
        while not parent.send(str(number).encode()):
            break
    read: list[bytes] = []
    back: list[bytes] = []

    def take(end: Line, into: list[bytes]) -> None:
        while (packet := end.receive(wait=False)) is not None:
            into.append(packet[0])

    threads = [threading.Thread(target=take, args=pair) for pair in ((worker, read), (duplicate, back))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    duplicate.close()
    numbers = [int(packet) for packet in read + back]
    assert len(numbers) == len(set(numbers)) and set(numbers) == set(range(len(numbers)))
    assert sorted(back, key=int) == back and sorted(read, key=int) == read
