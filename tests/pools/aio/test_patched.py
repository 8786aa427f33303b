"""In a program that gevent or eventlet has changed, an `AsyncPool` works: it needs no thread, and its loop waits by
what they have put in place."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.patience import WAIT

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
PROGRAM = """
{patch}
import asyncio, os, signal, threading
from steadypool import AsyncPool, Retry, task

async def same(x):
    await asyncio.sleep(0.001)
    return x

async def fail():
    raise ValueError("no")

async def hang():
    await asyncio.sleep(1000)

async def outcome(future):
    try:
        return await future
    except BaseException as error:
        return type(error).__name__

async def from_a_thread(pool):
    loop, done, got = asyncio.get_running_loop(), asyncio.Event(), []
    def submit():
        got.append(pool.submit_threadsafe(same, 7).result(30))
        loop.call_soon_threadsafe(done.set)
    threading.Thread(target=submit).start()
    await done.wait()
    return got

async def main():
    failures = []
    async with AsyncPool(4, on_error=failures.append, monitor=True) as pool:
        print([n async for n in pool.map(same, range(40))] == list(range(40)))
        print(sorted([n async for n in pool.map_unordered(same, range(40))]) == list(range(40)))
        print(await from_a_thread(pool))
        print(await outcome(await pool.submit(task(hang, timeout=0.05))))
        print(await outcome(await pool.submit(task(fail, retry=Retry(3, backoff=0.001)))), len(failures))
        running = await pool.submit(hang)
        with pool.drain_on_signal(0.1):
            os.kill(os.getpid(), signal.SIGTERM)
            print(await outcome(running))
        report = await pool.drain(30)
        print(pool.state.name, report.stats.accepted, report.stats.timed_out, len(report.interrupted))
asyncio.run(main())
"""


@pytest.mark.parametrize("patch", PATCHES)
def test_an_async_pool_works(patch: str) -> None:
    if importlib.util.find_spec(patch) is None:  # importing it here would change this process
        pytest.skip(f"{patch} is not installed")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(patch=PATCHES[patch])],
        capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip
    assert ran.stdout.splitlines() == [
        "True", "True", "[7]", "JobTimeout", "ValueError 2", "JobCancelled", "CLOSED 84 1 1",
    ], ran.stderr  # fmt: skip
