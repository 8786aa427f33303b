"""First, second, and then what a signal meant before; with real signals to this process and to a forked child."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from steadypool.primitives.signal_ladder import SignalLadder

NUMBER = signal.SIGUSR1


@pytest.fixture
def before() -> Iterator[list[int]]:
    """The signals that the handler before the ladder was called with."""
    called: list[int] = []
    old = signal.signal(NUMBER, lambda number, frame: called.append(number))
    yield called
    signal.signal(NUMBER, old)


def test_two_are_steps_and_the_third_means_what_it_meant(before: list[int]) -> None:
    steps: list[int] = []
    handler = signal.getsignal(NUMBER)
    with SignalLadder([NUMBER], steps.append) as ladder:
        for _ in range(2):
            signal.raise_signal(NUMBER)
        assert (steps, before, ladder.first) == ([1, 2], [], NUMBER)
        signal.raise_signal(NUMBER)
        assert (steps, before) == ([1, 2], [NUMBER])
        assert signal.getsignal(NUMBER) is handler, "it is itself again"
        signal.raise_signal(NUMBER)
        assert (ladder.received, before) == ([NUMBER] * 3, [NUMBER] * 2)
    assert signal.getsignal(NUMBER) is handler


def test_one_ladder_counts_all_its_signals(before: list[int]) -> None:
    steps: list[int] = []
    with SignalLadder([NUMBER, signal.SIGUSR2], steps.append) as ladder:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(NUMBER)
        signal.raise_signal(NUMBER)
    assert (steps, before, ladder.first) == ([1, 2], [NUMBER], signal.SIGUSR2)


def test_without_an_end_every_signal_is_a_step(before: list[int]) -> None:
    steps: list[int] = []
    with SignalLadder([NUMBER], steps.append, steps=None):
        for _ in range(4):
            signal.raise_signal(NUMBER)
    assert (steps, before) == ([1, 2, 3, 4], [])


def test_ladders_in_one_another_are_climbed_one_after_the_other(before: list[int]) -> None:
    outer, inner = [], []
    with SignalLadder([NUMBER], outer.append), SignalLadder([NUMBER], inner.append):
        for _ in range(5):
            signal.raise_signal(NUMBER)
    assert (inner, outer, before) == ([1, 2], [1, 2], [NUMBER])


def test_what_is_ignored_stays_so() -> None:
    old = signal.signal(NUMBER, signal.SIG_IGN)
    try:
        with SignalLadder([NUMBER], spare_ignored=True) as ladder:
            assert signal.getsignal(NUMBER) is signal.SIG_IGN
            signal.raise_signal(NUMBER)
        assert ladder.received == []
    finally:
        signal.signal(NUMBER, old)


def test_a_signal_that_cannot_be_caught_leaves_no_handler_behind(before: list[int]) -> None:
    handler = signal.getsignal(NUMBER)
    with pytest.raises(OSError):
        SignalLadder([NUMBER, signal.SIGKILL]).__enter__()
    assert signal.getsignal(NUMBER) is handler


def test_in_a_forked_child_a_signal_means_what_it_meant(before: list[int]) -> None:
    steps: list[int] = []
    with SignalLadder([NUMBER], steps.append):
        child = os.fork()
        if child == 0:
            signal.raise_signal(NUMBER)
            os._exit(7 if (steps, before) == ([], [NUMBER]) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("last", [None, signal.SIG_DFL])
def test_the_default_of_the_third_ends_the_process(last: signal.Handlers | None) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(NUMBER, signal.SIG_DFL if last is None else lambda number, frame: os._exit(1))
        with SignalLadder([NUMBER], last=last):
            for _ in range(3):
                signal.raise_signal(NUMBER)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -NUMBER
