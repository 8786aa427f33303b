"""The end of workers: what they may still do, and what goes with them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds, program
from tests.pools.processes.methods import on_every_method
from tests.pools.processes.remains import wait_gone

CHANGES_ITS_USER = """
import multiprocessing, os, sys, time
from steadypool import ProcessPool, task
if __name__ == "__main__":
    pool = ProcessPool(1, multiprocessing.get_context("spawn"), cancel_grace=0.1)
    pool.submit(abs, -1).result(30)
    print(*pool.worker_pids(), flush=True)
    os.setgid(65534)
    os.setuid(65534)
    print(type(pool.submit(task(time.sleep, timeout=0.3), 600).exception(30)).__name__, flush=True)
    sys.stdin.read()
    os._exit(0)
"""
IS_PID_1 = """
import os, subprocess, sys
from steadypool import ProcessPool, task
def convert(): subprocess.run(["sleep", "600"])
def zombies():
    states = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/stat") as file:
            states.append(file.read().rsplit(")", 1)[1].split()[0])
    return states.count("Z")
if __name__ == "__main__":
    mine = subprocess.Popen(["false"])
    pool = ProcessPool(2, cancel_grace=0.05)
    for future in [pool.submit(task(convert, timeout=0.2)) for _ in range(6)]:
        future.exception()
    pool.drain(10)
    print(os.getpid(), zombies() - 1, mine.wait())
"""
root = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs root")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_programs_of_jobs_die_with_the_program(number: signal.Signals) -> None:
    process = program.start(program.has_programs)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    process.send_signal(number)
    process.communicate()
    assert len(pids) == 3 and wait_gone(*pids) == []


@on_every_method
def test_a_worker_that_leaves_has_the_time_of_the_drain(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    pool.submit(deeds.act_at_the_end, stage.address).result(WAIT)
    reports: list[Any] = []
    thread = threading.Thread(target=lambda: reports.append(pool.drain(WAIT)))
    thread.start()
    actor = stage.enter()
    assert stage.is_empty(1.5) and not reports  # longer than it had without regard to the drain
    actor.close()
    thread.join(WAIT)
    assert reports[0].ok and reports[0].notes == ()


def test_one_that_takes_longer_is_killed_and_the_report_says_so(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    pid = pool.submit(deeds.act_at_the_end, stage.address).result(WAIT)
    report = pool.drain(0.1)
    assert wait_gone(pid) == []
    assert "was killed" in report.notes[0] and "was killed" in str(report)


@root
def test_a_worker_of_another_user_is_ended_all_the_same() -> None:
    # Not a file: it could not be read by another user.
    with subprocess.Popen(
        [sys.executable, "-c", CHANGES_ITS_USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "JobTimeout\n"
        assert wait_gone(pid) == []
        process.communicate(timeout=WAIT)


@root
def test_as_pid_1_no_zombie_stays(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(IS_PID_1)
    command = ["unshare", "-pf", "--mount-proc", sys.executable, str(script)]
    if subprocess.run([*command[:3], "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=50, check=False).stdout
    assert said == "1 0 1\n"
    assert multiprocessing.parent_process() is None
