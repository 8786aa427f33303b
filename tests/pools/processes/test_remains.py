"""What is left behind is found, also while threads end."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pools.processes.remains import Remains, family


def test_children_are_found_while_the_thread_that_started_them_ends() -> None:
    for _ in range(40):
        with ThreadPoolExecutor(1) as starter:
            child = starter.submit(subprocess.Popen, ["sleep", "600"]).result()
            starter.shutdown(wait=False)
            found = [child.pid in family(os.getpid()) for _ in range(10)]
        child.kill()
        child.wait()
        assert all(found), found


def test_a_process_that_is_left_is_described() -> None:
    before = Remains.now()
    with subprocess.Popen(["sleep", "600"]) as child:
        with pytest.raises(AssertionError, match=rf"'ppid': {os.getpid()}.*seconds old"):
            Remains.now().assert_same_as(before)
        child.kill()
