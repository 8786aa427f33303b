"""Sentences of the documents that no other test checks, each by a program that tries it."""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

SECONDS = 50
HAS_FORKSERVER = "forkserver" in multiprocessing.get_all_start_methods()


def run(tmp_path: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder of its own."""
    (tmp_path / "program.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def said(tmp_path: Path, text: str, **environment: str) -> Any:
    """What a program that goes well prints as JSON."""
    ended = run(tmp_path, text, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_without_the_main_guard_the_pool_says_that_it_is_broken(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        from steadypool import ProcessPool
        ProcessPool(1).submit(abs, -1).result()
        """,
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("steadypool.PoolBroken")
    assert 'under `if __name__ == "__main__":`' in said
    assert "initializer" not in ended.stderr
    assert ended.stderr.count("in main\n") == 1, "one worker has tried"


@pytest.mark.skipif(not HAS_FORKSERVER, reason="needs a forkserver")
def test_what_a_worker_inherits_from_the_forkserver(tmp_path: Path) -> None:
    first, later, folder = said(
        tmp_path,
        """
        import json, os
        from steadypool import ProcessPool

        def look():
            return os.environ.get("BEFORE"), os.environ.get("AFTER"), os.getcwd()

        if __name__ == "__main__":
            start = os.getcwd()
            os.environ["BEFORE"] = "set"
            with ProcessPool(1) as pool:
                first = pool.submit(look).result()
            os.environ["AFTER"] = "set"
            os.chdir("/")
            with ProcessPool(1) as pool:
                later = pool.submit(look).result()
            print(json.dumps([first, later, start]))
        """,
    )
    assert first == ["set", None, folder]
    assert later == ["set", None, "/"]


def test_a_change_after_the_submit_does_not_reach_the_job(tmp_path: Path) -> None:
    assert said(
        tmp_path,
        """
        import json
        from contextvars import ContextVar
        from steadypool import ProcessPool

        tenant = ContextVar("tenant", default="none")

        def look(items):
            return [items, tenant.get()]

        if __name__ == "__main__":
            tenant.set("some")
            with ProcessPool(1) as pool:
                items = [1]
                future = pool.submit(look, items)
                items.append(2)
                print(json.dumps(future.result()))
        """,
    ) == [[1], "none"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
@pytest.mark.parametrize("kind", ["ThreadPool", "ProcessPool"])
def test_an_idle_pool_sleeps(tmp_path: Path, kind: str) -> None:
    before, after = said(
        tmp_path,
        """
        import glob, json, os, re, time
        import steadypool

        def wake_ups(pids):
            tasks = [path for pid in pids for path in glob.glob(f"/proc/{pid}/task/*/status")]
            mine = f"/proc/{os.getpid()}/task/{os.getpid()}/status"
            return {path: re.findall(r"ctxt_switches:.(.+)", open(path).read()) for path in tasks if path != mine}

        if __name__ == "__main__":
            with getattr(steadypool, os.environ["KIND"])(2, timeout=60) as pool:
                list(pool.map(abs, range(100)))
                pids = [os.getpid(), *getattr(pool, "worker_pids", list)()]
                for _ in range(10):  # what was under way comes to rest
                    before = wake_ups(pids)
                    time.sleep(1)
                    if (after := wake_ups(pids)) == before:
                        break
                print(json.dumps([before, after]))
        """,
        KIND=kind,
    )
    assert before and after == before


def test_descriptors_of_a_worker(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    one, five = said(
        tmp_path,
        """
        import json, os
        from steadypool import ProcessPool

        def opened():
            return len(os.listdir("/proc/self/fd"))

        if __name__ == "__main__":
            counts = []
            for workers in (1, 5):
                pool = ProcessPool(workers)
                pool.submit(abs, 0).result()
                while pool.stats().workers < workers:
                    list(pool.map(abs, range(100)))
                list(pool.map(abs, range(100)))
                counts.append(opened())
                pool.drain()
            print(json.dumps(counts))
        """,
    )
    assert 8 <= (five - one) / 4 <= 12  # "about ten"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
@pytest.mark.parametrize(("ends", "lives"), [("by its time limit", False), ("in peace", True)])
def test_programs_that_a_job_has_started(tmp_path: Path, ends: str, lives: bool) -> None:
    note = tmp_path / "pid"
    ended = run(
        tmp_path,
        """
        import os, subprocess, sys, time
        from steadypool import ProcessPool, task

        def starts(wait):
            child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with open("pid", "w") as file:
                file.write(str(child.pid))
            while wait:
                time.sleep(1)

        if __name__ == "__main__":
            with ProcessPool(1, cancel_grace=0.1) as pool:
                pool.submit(task(starts, timeout=2.0), os.environ["ENDS"] != "in peace").exception()
        """,
        ENDS=ends,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    pid = int(note.read_text())
    try:
        assert ends_within(pid, 0.0 if lives else 10.0) is not lives
    finally:
        if lives:
            os.kill(pid, signal.SIGKILL)


def ends_within(pid: int, seconds: float) -> bool:
    """Whether the process is dead, waiting up to *seconds* for it."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    try:
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(pidfd)
