"""A program that was asked to stop ends, though its jobs have left threads or pools behind in its process."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap

import pytest

from steadypool.cli.exit_limit import LEAST, TimedExit
from tests.cli.program import Program

JOBS = """
    import concurrent.futures, multiprocessing, threading, time
    from steadypool import Queue
    queue = Queue("sqlite:///jobs.db")

    def say() -> None:
        open("started", "w").write("it has\\n")

    @queue.task
    def executor(line: str = "") -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(say).result()
            pool.submit(time.sleep, 4711).result()

    @queue.task
    def processes(line: str = "") -> None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(int)
            say()
            pool.apply(time.sleep, (4711,))

    def of_map(line: str) -> None:
        executor.fn()
"""


@pytest.fixture
def shop(program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(JOBS))
    os.mkfifo(program.folder / "started")
    return program


def stop_when_started(shop: Program, running: subprocess.Popen[str], number: signal.Signals) -> str:
    """Signal it once its job has begun; what it says on standard error until it ends."""
    with (shop.folder / "started").open() as started:
        assert started.readline()
    running.send_signal(number)
    return running.communicate(timeout=50)[1]


@pytest.mark.parametrize("task", ["executor", "processes"])
def test_a_worker_ends_whatever_a_job_has_left_behind(shop: Program, task: str) -> None:
    shop.run("enqueue", f"shop:{task}")
    worker = shop.start("work", "shop:queue", "--kind", "thread", "--drain-timeout", "1", "--cancel-grace", "0.1")
    said = stop_when_started(shop, worker, signal.SIGTERM)
    assert worker.returncode == 1 and "left running, will run again" in said
    assert said.endswith("does not end\n") or task == "processes"  # multiprocessing's handler may get through


def test_a_map_ends_whatever_a_job_has_left_behind(shop: Program) -> None:
    (shop.folder / "lines").write_text("a\n")
    running = shop.start("map", "shop:of_map", "lines", "--drain-timeout", "0.5")
    said = stop_when_started(shop, running, signal.SIGINT)
    assert running.returncode == 130 and said.endswith("does not end\n")


def test_there_is_always_some_time_for_handlers() -> None:
    assert TimedExit(3, 0.0) == 3 and TimedExit(3, 0.0).seconds == LEAST
    assert TimedExit(0, None).seconds > 1e6
