"""A program whose threads gevent or eventlet has replaced: a pool is refused at once, and says why."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.patience import WAIT

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "gevent, sockets alone": "from gevent import monkey; monkey.patch_socket()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
PROGRAM = """
{patch}
import asyncio
from steadypool import AsyncPool, ProcessPool, ThreadPool
for pool in (ThreadPool, ProcessPool):
    try:
        pool(1)
        print(pool.__name__, "works")
    except RuntimeError as error:
        print(pool.__name__, error)
"""


def skip_without(library: str) -> None:
    """Skip where it is not installed. Importing it here would change this process."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("patch", PATCHES)
def test_a_pool_is_refused_at_once(patch: str) -> None:
    skip_without(patch.partition(",")[0])
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(patch=PATCHES[patch])],
        capture_output=True, text=True, timeout=WAIT, check=True,
    )  # fmt: skip
    threads, processes = ran.stdout.splitlines()
    library = patch.partition(",")[0]
    assert processes.startswith(f"ProcessPool {library} has replaced the module")
    assert "gthread" in processes
    if "alone" in patch:
        assert threads == "ThreadPool works"
    else:
        assert threads.startswith(f"ThreadPool {library} has replaced the module 'thread")


def test_a_library_that_is_only_imported_changes_nothing() -> None:
    skip_without("gevent")
    program = PROGRAM.format(patch="import gevent.monkey")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=True)
    assert ran.stdout.splitlines() == ["ThreadPool works", "ProcessPool works"]
