"""A job loses none of its attributes, though the garbage collector lets another thread in while one is set."""

from __future__ import annotations

import subprocess
import sys

from steadypool.primitives.future import SHARED_NAMES
from tests.pools.contract.program import ROOT

PROGRAM = """
import gc, sys
from steadypool import ThreadPool

def nothing(): pass

with ThreadPool(1) as pool:
    for number in range(40):  # more names than CPython 3.11 keeps for all objects of a class
        setattr(pool.submit(nothing), f"name_{number}", number)
gc.callbacks.append(lambda phase, info: [None for _ in range(3)])
gc.set_threshold(50)
sys.setswitchinterval(1e-5)
for _ in range(60):
    pool, called = ThreadPool(2), []
    futures = [pool.submit(nothing) for _ in range(500)]
    for future in futures:
        future.add_done_callback(called.append)
    pool.shutdown()
    assert all(future.done() for future in futures)
    assert len(called) == len(futures)
"""


def test_every_job_ends_and_calls_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_no_more_names_than_can_be_shared() -> None:
    assert len(set(SHARED_NAMES)) == len(SHARED_NAMES) == 30
