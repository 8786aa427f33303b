"""The program is stopped for a while, and goes on: what ended in the meantime has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PAUSE = 1.5
"""Seconds. No wait for anything: it is the length of the pause itself that is tested."""
POOLS = """
import time
from steadypool import ProcessPool, ThreadPool, task
from tests.pools.contract.jobs import nothing
def quick():
    time.sleep(0.3)
    return "its result"
if __name__ == "__main__":
    with {pool}(1) as pool:
        pool.submit(nothing).result()
        future = pool.submit(task(quick, timeout=1.2))
        print("running", flush=True)
        print(repr(future.exception(30)), future.outcome.value, flush=True)
"""
ASYNC = """
import asyncio
from steadypool import AsyncPool, task
async def quick():
    for _ in range(3):
        await asyncio.sleep(0.1)
    return "its result"
async def main():
    async with AsyncPool(1) as pool:
        future = await pool.submit(task(quick, timeout=1.2))
        print("running", flush=True)
        await asyncio.wait([future])
        print(repr(future.exception()), future.outcome.value, flush=True)
asyncio.run(main())
"""
UNSEEN = """
import os, signal, threading, time
from steadypool import ThreadPool, task
from tests.pools.contract.jobs import nothing
begun = threading.Event()
def quick():
    begun.set()
    time.sleep(0.3)
with ThreadPool(1) as pool:
    pool.submit(nothing).result()
    with pool._core.lock:  # the supervisor needs it to look at limits
        future = pool.submit(task(quick, timeout=1.2))
        begun.wait()
        os.kill(os.getpid(), signal.SIGSTOP)
    print(repr(future.exception(30)), future.outcome.value, flush=True)
"""


@pytest.mark.parametrize("script", [POOLS.format(pool="ThreadPool"), POOLS.format(pool="ProcessPool")], ids=["t", "p"])
def test_a_job_that_ended_meanwhile_has_its_result(script: str) -> None:
    check(script)


def test_a_job_that_would_have_ended_on_a_loop() -> None:
    check(ASYNC.replace("range(3)", "range(1)"))


def test_a_limit_that_the_supervisor_has_not_seen() -> None:
    check(UNSEEN, stops_itself=True)


def check(script: str, *, stops_itself: bool = False) -> None:
    program = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        if stops_itself:
            os.waitpid(program.pid, os.WUNTRACED)
        else:
            assert program.stdout.readline() == "running\n"
            program.send_signal(signal.SIGSTOP)
        time.sleep(PAUSE)
        program.send_signal(signal.SIGCONT)
        assert program.communicate(timeout=40)[0] == "None succeeded\n"
    finally:
        program.kill()
        program.wait()
