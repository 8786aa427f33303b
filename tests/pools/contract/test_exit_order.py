"""At the end of the interpreter jobs end before what they use is closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, os, sys, tempfile, threading, time
from steadypool import ProcessPool, ThreadPool
from tests.pools.contract import jobs
out, folder = sys.argv[2], tempfile.TemporaryDirectory()
atexit.register(lambda: print(jobs.count_lines(out)))
pool = getattr(__import__("steadypool"), sys.argv[1])(1)
for _ in range(3):
    pool.submit(jobs.note_while_there_is, folder.name, out)
"""
IN_A_CHILD = """
import multiprocessing, sys
from steadypool import ThreadPool
from tests.pools.contract import jobs
def child():
    pool = ThreadPool(1)
    for _ in range(3):
        pool.submit(jobs.note, sys.argv[1])
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print(jobs.count_lines(sys.argv[1]))
"""


@pytest.mark.parametrize("pool", ["ThreadPool", "ProcessPool"])
def test_jobs_end_before_handlers_and_temporary_folders(pool: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, pool, str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=50, check=False).stdout == "3\n"


def test_jobs_end_before_a_child_of_multiprocessing_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_A_CHILD, str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=50, check=False).stdout == "3\n"
