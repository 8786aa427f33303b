"""Draining on SIGTERM and SIGINT: real signals, sent to a process of its own."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pools.contract import program
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_queue import in_thread

pytestmark = pytest.mark.differs_on("asyncio", "the loop calls its handlers: see tests/pools/aio/test_endings.py")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(kind: Kind) -> Iterator[Start]:
    """Starts one of the programs in `tests.pools.contract.program`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(which: Callable[..., None], *arguments: str) -> subprocess.Popen[str]:
        started.append(program.start(kind, which, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def expect(process: subprocess.Popen[str], text: str) -> None:
    """The process says that next."""
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline().rstrip()
    if line != text:
        process.kill()
        pytest.fail(f"expected {text!r}, got {line!r}\n{process.stderr.read()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_drains(start: Start, stage: Stage, number: signal.Signals) -> None:
    process = start(program.drain_on_signal, stage.address)
    actors = stage.enter_many(2)
    expect(process, "ready")
    process.send_signal(number)
    for actor in actors.values():
        assert actor.ask("cause") is None
        actor.tell("return")
    for _ in range(2):
        stage.enter().tell("return")
    expect(process, "handler back True")
    expect(process, f"closed {['succeeded'] * 4}")
    assert process.wait(WAIT) == 0


def test_the_second_goes_straight_to_cancelling(start: Start, stage: Stage) -> None:
    process = start(program.drain_on_signal, stage.address)
    actors = stage.enter_many(2)
    expect(process, "ready")
    process.send_signal(signal.SIGTERM)
    assert actors["job-0"].ask("cause") is None
    process.send_signal(signal.SIGINT)
    assert actors["job-0"].ask("told")[1] == "shutdown"
    actors["job-0"].tell("finish when told")
    actors["job-1"].tell("obey")
    expect(process, "handler back True")
    expect(process, f"closed {['succeeded', 'interrupted', 'returned', 'returned']}")
    assert process.wait(WAIT) == 0


def test_the_third_means_what_it_meant(start: Start, stage: Stage) -> None:
    process = start(program.signals_one_by_one, stage.address)
    stage.enter_many(1)
    for number in (1, 2):
        expect(process, f"ready for {number}")
        process.send_signal(signal.SIGTERM)
    expect(process, "ready for 3")
    process.send_signal(signal.SIGTERM)
    expect(process, "the old handler")
    assert process.wait(WAIT) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_third_ends_a_program_without_handlers_of_its_own(
    start: Start, stage: Stage, number: signal.Signals
) -> None:
    process = start(program.signals_one_by_one, stage.address, "no handler")
    stage.enter_many(1)
    for count in (1, 2, 3):
        expect(process, f"ready for {count}")
        process.send_signal(number)
    process.communicate(timeout=WAIT)
    assert process.returncode == -number


def test_a_producer_ends_quietly(start: Start) -> None:
    process = start(program.producer_under_signals)
    expect(process, "ready")
    process.send_signal(signal.SIGTERM)
    expect(process, "True True")
    _, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")


def test_the_old_handlers_come_back(pool: Any) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(LookupError):
        with pool.drain_on_signal():
            assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
            raise LookupError
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_other_signals(pool: Any) -> None:
    with pool.drain_on_signal(5, signals=[signal.SIGUSR1]) as block:
        signal.raise_signal(signal.SIGUSR1)
        assert pool.drain().ok
    assert block.received == 1


def test_a_signal_that_cannot_be_caught_changes_no_handler(pool: Any) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError):
        pool.drain_on_signal(5, signals=[signal.SIGTERM, signal.SIGKILL]).__enter__()
    assert signal.getsignal(signal.SIGTERM) == before


def test_off_the_main_thread_it_says_what_to_do(pool: Any) -> None:
    thread, ended = in_thread(lambda: pool.drain_on_signal().__enter__())
    thread.join(WAIT)
    assert isinstance(ended[0], RuntimeError)
    assert "main thread" in str(ended[0]) and "request_drain" in str(ended[0])


def test_two_pools_in_one_block(make_pool: Callable[..., Any]) -> None:
    one, other = make_pool(1), make_pool(1)
    with one.drain_on_signal(5, [signal.SIGUSR1]), other.drain_on_signal(5, [signal.SIGUSR1]):
        signal.raise_signal(signal.SIGUSR1)
        assert other.drain().ok
    assert threading.current_thread() is threading.main_thread()
