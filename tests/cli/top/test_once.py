"""``steadypool top --once``, and what it says when there is nothing to look at."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from steadypool import ThreadPool, task
from steadypool.cli import app
from steadypool.cli.top import programs
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class Ended:
    """What a run of the command line in this process gave."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = app._run(["top", *arguments], "steadypool")
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def top(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return lambda *arguments: Ended(capsys, *arguments)


def test_one_frame_for_a_script(make_pool: Callable[..., Any], stage: Stage, top: Callable[..., Ended]) -> None:
    pool = make_pool(1, name="import", monitor=True)
    future, actor = stage.start(pool)
    ended = top("--once", "--json", "--interval", "0.1")
    assert (ended.code, ended.err) == (0, "")
    seen = json.loads(ended.out)
    assert (seen["pid"], seen["has_ended"]) == (os.getpid(), False)
    [shown] = seen["pools"]
    assert shown["stats"]["running"] == 1 and shown["health"]["ready"] and shown["report"] is None
    assert shown["rates"] == {"accepted": 0.0, "ended": 0.0, "failed": 0.0, "retries": 0.0}
    assert future.job_id in [row["job_id"] for row in shown["stats"]["worker_rows"]]
    actor.tell("return")


def test_one_frame_for_people(top: Callable[..., Ended]) -> None:
    with ThreadPool(1, name="one", monitor=True) as pool, ThreadPool(1, name="other", monitor=True):
        pool.submit(task(jobs.fail_if_odd, name="odd"), 1).exception(WAIT)
        ended = top(str(os.getpid()), "--once", "--interval", "0.1")
        assert ended.code == 0
        assert "one: threads, open" in ended.out and "other: threads, open" in ended.out
        assert ("1 accepted   1 failed" in ended.out and "ValueError: told to fail" in ended.out) or "odd" in ended.out
        assert "\x1b" not in ended.out
        ended = top(str(os.getpid()), "--once", "--interval", "0.1", "--pool", "other")
        assert "one: threads" not in ended.out and "other: threads, open" in ended.out
        ended = top(str(os.getpid()), "--once", "--interval", "0.1", "--pool", "none")
        assert ended.code == 2 and "no pool 'none' in it, but 'one', 'other'" in ended.err


def test_a_program_that_ends_between_the_two_looks(top: Callable[..., Ended]) -> None:
    pool = ThreadPool(1, name="ends", monitor=True)

    def end_once_it_was_seen() -> None:
        while not pool._core.emitter.sinks:  # run times are measured from the first look on
            threading.Event().wait(0.001)
        pool.drain(WAIT)

    thread = threading.Thread(target=end_once_it_was_seen)
    thread.start()
    ended = top(str(os.getpid()), "--once", "--json", "--interval", str(WAIT))
    thread.join(WAIT)
    seen = json.loads(ended.out)
    [shown] = seen["pools"]
    assert (ended.code, seen["has_ended"], shown["stats"]["state"]) == (0, True, "closed")
    assert shown["report"].startswith("pool 'ends' closed") and shown["rates"] is None


def one_line(ended: Ended) -> str:
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1, ended.err
    return ended.err


def test_what_cannot_be_looked_at_is_told_in_a_line(
    top: Callable[..., Ended], runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no program of yours can be watched: give a pool of it monitor=True" in one_line(top("--once"))
    assert f"process {os.getpid()} cannot be watched" in one_line(top(str(os.getpid()), "--once"))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert f"there is no process {dead.pid}" in one_line(top(str(dead.pid), "--once"))
    assert "--json needs --once" in one_line(top("--json"))
    assert f"there is no process {dead.pid}" in one_line(top(str(dead.pid))), "before it asks for a terminal"
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    owner = psutil.Process().uids().effective
    said = one_line(top(str(os.getpid()), "--once"))
    assert f"is {programs._name_of(owner)}'s: only " in said and "root can watch it" in said


def test_several_programs_are_listed(top: Callable[..., Ended], runtime: Path) -> None:
    with ThreadPool(1, monitor=True), socket.socket(socket.AF_UNIX) as other:
        other.bind(str(runtime / "1"))
        other.listen()
        ended = top("--once")
        assert ended.code == 2
        first, *rest = ended.err.splitlines()
        assert "several programs can be watched; give the pid of one" in first
        assert [line.split()[0] for line in rest] == ["1", str(os.getpid())]


def test_a_program_of_another_version(top: Callable[..., Ended], runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(runtime / str(os.getpid())))
        other.listen()
        answering = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket, sys\n"
                "listener = socket.socket(fileno=0)\n"
                "while True:\n"
                "    visitor, _ = listener.accept()\n"
                '    if visitor.recv(100): visitor.sendall(b\'{"kind": "snapshot", "body": 3}\\n\')\n',
            ],
            stdin=other,
        )
        try:
            assert "another version of Steadypool" in one_line(top(str(os.getpid()), "--once"))
        finally:
            answering.kill()
            answering.wait()
