"""Ctrl-C in the middle of a submit: no room, no worker and no job is lost, and the pool goes on and ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from steadypool import Outcome, ThreadPool
from tests.races.arena import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 120


@pytest.mark.parametrize("how", ["submit", "result", "map"])
def test_anywhere_in_a_submit(how: str) -> None:
    # In a process of its own: the test runner is not made for exceptions that come from anywhere.
    command = [sys.executable, "-W", "ignore", "-m", "tests.races.interrupted", how, str(ROUNDS), "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def interrupted() -> None:
    raise KeyboardInterrupt


def test_in_a_job_that_the_main_thread_runs_itself() -> None:
    pool = ThreadPool(1, queue_size=1, on_full="caller_runs")
    gate, runs = threading.Event(), threading.Event()
    pool.submit(lambda: (runs.set(), gate.wait(PATIENCE)))
    assert runs.wait(PATIENCE)
    pool.submit(int)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(interrupted)
    assert pool.stats().failed == 1
    gate.set()
    report = pool.drain(timeout=PATIENCE)
    assert report.ok and report.stats.succeeded == 2


def test_in_another_thread_it_is_the_job_s_failure() -> None:
    pool = ThreadPool(1)
    future = pool.submit(interrupted)
    future.exception(PATIENCE)
    assert future.outcome is Outcome.FAILED
    pool.drain(timeout=PATIENCE)
