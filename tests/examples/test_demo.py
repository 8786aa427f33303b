"""What ``make demo`` and ``make demo-durable`` run, on part of their input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, DEMO / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=55)


def test_it_shows_a_hang_a_report_and_books_that_balance() -> None:
    ended = run("pool.py", "--files", "150")
    assert ended.returncode == 0, ended.stderr
    assert "Watch for:" in ended.stdout
    assert "Over its time limit: job demo-" in ended.stdout
    assert "return client.recv(1024)" in ended.stdout, "it says where the job hangs"
    assert "Crashed, alone: worker process" in ended.stdout
    assert "x ask_silent_server: JobTimeout" in ended.stdout
    assert "150 files" in ended.stdout
    assert "the books balance" in ended.stdout
    assert all(int(shown) <= 100 for shown in re.findall(r"(\d+)%", ended.stdout)), "more done than there is"
    assert ended.stderr == ""


def test_threads_leave_the_job_that_hangs_behind() -> None:
    ended = run("pool.py", "--files", "150", "--kind", "thread")
    assert ended.returncode == 0, ended.stderr
    assert "it is left behind, another takes its place" in ended.stdout
    assert "Crashed" not in ended.stdout and "address zero" not in ended.stdout
    assert "the books balance" in ended.stdout


def test_the_durable_one_kills_its_worker_and_loses_nothing() -> None:
    ended = run("durable.py", "--files", "80", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    assert "half-way: kill -9 to the worker" in ended.stdout
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith(("enqueued", "lost")))
    assert lines == {"enqueued": "80", "lost": "0"}
    assert "(what the dead worker held)" in ended.stdout


def test_ctrl_c_drains_it() -> None:
    command = [sys.executable, DEMO / "pool.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "drain report accounts" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=55)
    assert process.returncode == 130
    assert "pool 'demo' closed" in out
    assert "the books balance" in out
    assert "Traceback" not in err


def test_the_makefile_runs_both() -> None:
    named = set(re.findall(r"examples/demo/(\w+\.py)", (ROOT / "Makefile").read_text()))
    assert named == {"pool.py", "durable.py"} and all((DEMO / name).exists() for name in named)
