"""Dumps of a `ProcessPool`: inside C code, of workers that do not answer, and of workers that die meanwhile."""

from __future__ import annotations

import os
import re
import signal
import threading
from time import monotonic

from steadypool import ProcessPool, WorkerCrashed
from tests.contract.jobs import nothing
from tests.contract.stage import WAIT, Stage


def backtrack(text: str) -> bool:
    """In C code for years, with the GIL held."""
    return re.match(r"(a+)+$", text) is None


def test_inside_c_code() -> None:
    with ProcessPool(1, cancel_grace=0.1) as pool:
        future = pool.submit(backtrack, "a" * 60 + "b")
        give_up = monotonic() + WAIT
        while "re.match" not in (text := pool.dump()):
            assert monotonic() < give_up, text
        assert "in backtrack" in text
        assert pool.stats().running == 1
        future.cancel(running=True)


def test_a_worker_that_does_not_answer(stage: Stage) -> None:
    with ProcessPool(1) as pool:
        _, actor = stage.start(pool)
        (pid,) = pool.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert "which has no Python frame of its own" in pool.dump()
        finally:
            os.kill(pid, signal.SIGCONT)
        actor.tell("return")


def test_workers_that_die_meanwhile(stage: Stage) -> None:
    dumped = 0
    with ProcessPool(2) as pool:
        for _ in range(3):
            doomed = [stage.start(pool)[0] for _ in range(2)]
            killer = threading.Thread(target=lambda: [os.kill(pid, signal.SIGSEGV) for pid in pool.worker_pids()])
            killer.start()
            while not all(future.done() for future in doomed):
                assert pool.dump()
                dumped += 1
            killer.join(WAIT)
            assert all(isinstance(future.exception(WAIT), WorkerCrashed) for future in doomed)
        pool.submit(nothing).result(WAIT)
    assert dumped
