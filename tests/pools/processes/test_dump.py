"""Dumps of a `ProcessPool`: in the middle of Python code, inside C code, of workers that do not answer, or die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from steadypool import ProcessPool, WorkerCrashed
from tests.pools.contract.jobs import nothing
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds, spinning
from tests.pools.processes.warming import known_pids, warm

MakePool = Callable[..., Any]
NO_FRAME = "which has no Python frame of its own"


def dump_until(pool: Any, found: str) -> str:
    """A dump with these words: the job may not have got that far, or the machine may be too busy for an answer."""
    give_up = monotonic() + WAIT
    while found not in (text := pool.dump()):
        assert monotonic() < give_up, text
    return str(text)


def test_a_worker_survives_to_be_looked_at_in_the_middle_of_python_code(make_pool: MakePool) -> None:
    """CPython does not, once in some hundred times, when it is done by a signal alone."""
    pool = warm(make_pool(2))
    futures = [pool.submit(spinning.spin) for _ in range(2)]
    dump_until(pool, "in spin")
    seen = sum("in spin" in pool.dump() for _ in range(250))
    assert seen
    for future in futures:
        assert future.cancel(running=True)
        assert future.result(WAIT) is None
    assert pool.stats().restarts == 0


@pytest.mark.parametrize("hog", [deeds.count_for_ever, deeds.match_for_ever], ids=["sum", "re"])
def test_inside_c_code(make_pool: MakePool, hog: Any) -> None:
    pool = make_pool(1, cancel_grace=0.1)
    future = pool.submit(hog)
    dump_until(pool, f"in {hog.__name__}")
    assert pool.stats().running == 1
    future.cancel(running=True)


def test_a_job_that_waits_in_the_kernel_goes_on_waiting(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    future, actor = stage.start(pool)
    for _ in range(20):
        assert "in act" in dump_until(pool, "for order in text")
    actor.tell("return")
    assert future.result(WAIT) == "actor"


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="cannot wait for a process to stop")
@pytest.mark.parametrize("method", ["spawn"])  # a child of this process, or it could not be waited for
def test_a_worker_that_does_not_answer(make_pool: MakePool, stage: Stage) -> None:
    """A stopped one. What it answers when it goes on is for nobody: neither the next question nor a crash."""
    pool = make_pool(1)
    future, actor = stage.start(pool)
    (pid,) = known_pids(pool)
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, pid, os.WSTOPPED)  # a signal takes its time
            assert NO_FRAME in pool.dump()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert actor.ask("worker")[0] == pid  # it has answered the first question by now, on its way here
        assert "in act" in dump_until(pool, "for order in text")
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    pool.dump()
    os.kill(pid, signal.SIGCONT)
    actor.tell("return")
    assert future.result(WAIT) == "actor"
    doomed, _ = stage.start(pool, "doomed")
    os.kill(pid, signal.SIGKILL)
    error = doomed.exception(WAIT)
    assert isinstance(error, WorkerCrashed)
    assert error.stack == ""


def test_a_stack_is_of_the_job_that_was_asked_about(make_pool: MakePool) -> None:
    """Jobs end, and others begin, while they are asked."""
    pool = warm(make_pool(2))
    done = threading.Event()

    def submit() -> None:
        for _ in range(100):
            futures = [pool.submit(fn) for fn in (spinning.turn_left, spinning.turn_right) * 5]
            for future in futures:
                future.result(WAIT)
        done.set()

    submitter = threading.Thread(target=submit)
    submitter.start()
    rows = []
    while not done.is_set():
        rows += pool._core.workers.running_rows()
    submitter.join(WAIT)
    assert [row for row in rows if "turn_left" in row.task and "turn_right" in row.stack] == []
    assert [row for row in rows if "turn_right" in row.task and "turn_left" in row.stack] == []
    assert [row for row in rows if "turn" in row.stack]


def test_a_forked_child_does_not_speak_for_the_worker(make_pool: MakePool) -> None:
    """It shares the pipe, and crashes; then the worker is killed, and has said nothing."""
    pool = make_pool(1)
    assert pool.submit(crash_in_a_child).result(WAIT) == -signal.SIGSEGV
    error = pool.submit(deeds.kill).exception(WAIT)
    assert isinstance(error, WorkerCrashed)
    assert (error.signal_name, error.stack) == ("SIGKILL", "")


def crash_in_a_child() -> int:
    """How a child that this process forks ends."""
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_c_code_that_waits_does_not_notice(make_pool: MakePool, stage: Stage) -> None:
    """Not every library tries again when a signal has ended a system call of its."""
    pool = make_pool(1)
    future = pool.submit(deeds.read_in_c, stage.address)
    actor = stage.enter()
    for _ in range(20):
        dump_until(pool, "in read_in_c")
    actor.tell("return")
    assert future.result(WAIT) == 1


def test_workers_that_die_meanwhile(stage: Stage) -> None:
    dumped = 0
    with ProcessPool(2) as pool:
        for _ in range(3):
            started = [stage.start(pool) for _ in range(2)]
            doomed = [future for future, _ in started]
            pids = [actor.ask("worker")[0] for _, actor in started]
            killer = threading.Thread(target=lambda pids=pids: [os.kill(pid, signal.SIGSEGV) for pid in pids])
            killer.start()
            while not all(future.done() for future in doomed):
                assert pool.dump()
                dumped += 1
            killer.join(WAIT)
            assert all(isinstance(future.exception(WAIT), WorkerCrashed) for future in doomed)
        pool.submit(nothing).result(WAIT)
    assert dumped
