"""No process outlives its program, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import program
from tests.pools.processes.remains import family, is_dead, open_watch, wait_gone

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs, and ends those that a failed test has left."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Any) -> subprocess.Popen[str]:
        started.append(program.start(*arguments))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            for pid in reversed(family(process.pid)):
                kill(pid)
        process.communicate()


def kill(pid: int) -> None:
    """It may have gone: a worker that has just died is in the list until the forkserver has collected it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def say_line(process: subprocess.Popen[str]) -> str:
    """The next line of the program's output."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


ENDS = {
    "ctrl-c to the group": lambda pid: os.killpg(pid, signal.SIGINT),
    "ctrl-c to the program": lambda pid: os.kill(pid, signal.SIGINT),
    "SIGTERM": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGTERM to the group": lambda pid: os.killpg(pid, signal.SIGTERM),
    "SIGKILL": lambda pid: os.kill(pid, signal.SIGKILL),
}


@pytest.mark.parametrize("end", list(ENDS.values()), ids=list(ENDS))
def test_no_busy_process_outlives_a_signal(start: Start, stage: Stage, end: Callable[[int], None]) -> None:
    """A worker of each start method, all in C code that holds the GIL."""
    process = start(program.hold_busy, stage.address)
    stage.enter_many(3)
    check_gone(process, end)


@pytest.mark.parametrize("name", ["ctrl-c to the group", "SIGTERM", "SIGKILL"])
def test_no_idle_process_outlives_a_signal(start: Start, name: str) -> None:
    check_gone(start(program.hold_idle), ENDS[name])


def check_gone(process: subprocess.Popen[str], end: Callable[[int], None]) -> None:
    """End the program: all it has started ends with it."""
    assert say_line(process) == "ready"
    pids = family(process.pid)
    assert len(pids) >= 1 + 3
    end(process.pid)
    process.wait(WAIT)
    assert wait_gone(*pids) == []


def test_no_process_outlives_the_interpreters_end(start: Start, stage: Stage) -> None:
    process = start(program.end_busy, stage.address)
    stage.enter_many(3)
    assert say_line(process) == "ready"
    pids = family(process.pid)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert errors.count("at interpreter exit") == 3, "each pool says what it had to stop"
    assert wait_gone(*pids) == []


def test_a_clean_end_says_nothing(start: Start) -> None:
    process = start(program.printing)
    _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert [line for line in errors.splitlines() if not line.startswith("err ")] == []


def test_a_forked_child_of_the_program_does_not_keep_workers_alive(start: Start, stage: Stage) -> None:
    process = start(program.fork_a_child, stage.address)
    child = int(say_line(process))
    actor = stage.enter()
    watch = open_watch(child)
    assert watch is not None
    pids = set(family(process.pid)) - {process.pid, child}
    # Those live as long as the child does: they wait for the end of a pipe that it has a copy of.
    helpers = {pid for pid in pids if is_helper(pid)}
    assert len(pids - helpers) == 3
    process.kill()
    process.wait(WAIT)
    assert wait_gone(*pids - helpers) == []
    assert not is_dead(watch, 0)
    os.close(watch)
    actor.close()
    assert wait_gone(child, *helpers) == []


def is_helper(pid: int) -> bool:
    """Whether it is one of multiprocessing's own: its resource tracker or its forkserver."""
    process = psutil.Process(pid)
    command = " ".join(process.cmdline())
    is_server = "forkserver" in command and any("forkserver" in " ".join(c.cmdline()) for c in process.children())
    return "resource_tracker" in command or is_server


def test_workers_leave_when_nobody_refers_to_the_pool(start: Start) -> None:
    process = start(program.drop_pools)
    assert say_line(process) == "ready"
    pids = set(family(process.pid)) - {process.pid}
    workers = {pid for pid in pids if not is_helper(pid)}
    assert len(workers) == 3
    process.send_signal(signal.SIGUSR1)
    assert say_line(process) == "dropped"
    assert wait_gone(*workers) == []
    assert process.poll() is None
