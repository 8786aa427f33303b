"""The program is stopped for a while, and goes on: what ended in the meantime has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.patience import WAIT

PAUSE = 3.5
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
        future = pool.submit(task(quick, timeout=3))
        print("running", flush=True)
        print(repr(future.exception(60)), future.outcome.value, flush=True)
"""
ASYNC = """
import asyncio
from steadypool import AsyncPool, task
async def quick():
    await asyncio.sleep(0.1)
    return "its result"
async def main():
    async with AsyncPool(1) as pool:
        future = await pool.submit(task(quick, timeout=3))
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
        future = pool.submit(task(quick, timeout=3))
        begun.wait()
        os.kill(os.getpid(), signal.SIGSTOP)
    print(repr(future.exception(60)), future.outcome.value, flush=True)
"""


def test_a_job_that_ended_meanwhile_has_its_result() -> None:
    """On each kind of pool, all in one pause."""
    scripts = [POOLS.format(pool="ThreadPool"), POOLS.format(pool="ProcessPool"), ASYNC, UNSEEN]
    with ExitStack() as programs:
        stopped = [programs.enter_context(stopped_program(script)) for script in scripts]
        time.sleep(PAUSE)
        for program in stopped:
            program.send_signal(signal.SIGCONT)
        said = [program.communicate(timeout=WAIT)[0] for program in stopped]
    assert said == ["None succeeded\n"] * len(scripts)


@contextmanager
def stopped_program(script: str) -> Iterator[subprocess.Popen[str]]:
    """A program whose job has just begun. One that does not say so stops itself."""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            if script is UNSEEN:
                os.waitpid(program.pid, os.WUNTRACED)
            else:
                assert program.stdout.readline() == "running\n"
                program.send_signal(signal.SIGSTOP)
            yield program
        finally:
            program.kill()
