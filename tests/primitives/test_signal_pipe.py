"""The pipe that tells of signals: one for all who listen, given back, and not the child's."""

from __future__ import annotations

import os
import queue
import signal
import socket
from collections.abc import Iterator

import pytest

from steadypool.primitives.signal_pipe import SignalPipe, pipe

SECONDS = 20.0


@pytest.fixture(autouse=True)
def caught() -> Iterator[None]:
    """The signal used here does nothing by itself."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_everybody_who_listens_is_told() -> None:
    told: queue.Queue[int] = queue.Queue()
    own = SignalPipe()
    assert not own.is_heard()
    assert own.listen(told.put)
    assert own.listen(told.put_nowait)
    assert own.is_heard()
    signal.raise_signal(signal.SIGUSR1)
    assert {told.get(timeout=SECONDS) for _ in range(2)} == {signal.SIGUSR1}
    own.leave(told.put)
    assert own.is_heard()
    own.leave(told.put_nowait)
    own.leave(told.put_nowait)
    assert not own.is_heard() and signal.set_wakeup_fd(-1) == -1


def test_what_belongs_to_somebody_else_stays_theirs() -> None:
    told: queue.Queue[int] = queue.Queue()
    own = SignalPipe()
    theirs, _rest = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    assert not own.listen(told.put)
    assert signal.set_wakeup_fd(-1) == theirs.fileno()
    assert own.listen(told.put)
    signal.set_wakeup_fd(theirs.fileno())
    assert not own.is_heard()
    own.leave(told.put)
    assert signal.set_wakeup_fd(-1) == theirs.fileno()


def test_a_forked_child_s_signals_are_its_own() -> None:
    told: queue.Queue[int] = queue.Queue()
    assert pipe.listen(told.put)
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGUSR1)
        os._exit(int(signal.set_wakeup_fd(-1) != -1 or pipe.is_heard()))
    _, status = os.waitpid(child, 0)
    signal.raise_signal(signal.SIGUSR1)
    assert told.get(timeout=SECONDS) == signal.SIGUSR1
    pipe.leave(told.put)
    assert os.waitstatus_to_exitcode(status) == 0 and told.empty()
