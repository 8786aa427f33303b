"""``steadypool top`` on a real pseudo-terminal, looking at pools at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import ThreadPool, task
from tests.cli.top.terminal import Terminal
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

Top = Callable[..., Terminal]


@pytest.mark.usefixtures("patient_stacks")
def test_a_pool_at_work_on_80_by_24(make_pool: Callable[..., Any], stage: Stage, top: Top) -> None:
    pool = make_pool(2, name="import", monitor=True, queue_size=10)
    future, actor = stage.start(pool, fn=task(jobs.act, name="import-rows"))
    screen = top()
    screen.wait_for("/s in", "import-rows", f"pid {os.getpid()}", f"import: {pool._core.workers.kind}, open", "0 of 10")
    screen.wait_for("ready   1 of 2 busy", future.job_id)
    for number in range(3):
        pool.submit(task(jobs.fail_if_odd, name="odd"), number).exception(WAIT)
    text = screen.wait_for("ValueError", "slowest tasks", "4 accepted   2 succeeded   1 failed", "e errors")
    assert max(len(line) for line in text.splitlines()) <= 80
    foot = text.splitlines()[23]
    assert "s stack" in foot and "q quit" in foot and "next pool" not in foot
    screen.press("e")
    screen.wait_for("what has failed in pool 'import'", "1 x odd: ValueError: 1 is odd", "latest job: import-")
    screen.press("escape")
    screen.wait_for("slowest tasks")
    screen.press("s")
    screen.wait_for(f"{future.job_id} import-rows, after", "in act")
    actor.tell("return")
    screen.press("escape")
    screen.wait_for("3 succeeded", "slowest tasks")
    screen.press("q")
    assert screen.wait_ended() == 0


def test_draining_from_the_viewer_asks_first(make_pool: Callable[..., Any], stage: Stage, top: Top) -> None:
    pool = make_pool(1, name="orders", monitor=True)
    _, actor = stage.start(pool)
    screen = top(str(os.getpid()), "--interval", "0.1", "--drain-timeout", "60")
    screen.wait_for("/s in")
    screen.press("d")
    screen.wait_for("drain pool 'orders' within 60 s (1 job left)?  y/n")
    screen.press("n")
    screen.wait_for("not drained")
    assert pool.state == "open"
    screen.press("d")
    screen.wait_for("y/n")
    screen.press("y")
    screen.wait_for("health  draining")
    actor.tell("return")
    text = screen.wait_for("pool 'orders' has ended", "on time", "1 accepted: 1 succeeded")
    assert "health  closed" in text
    screen.press("d")
    screen.wait_for("it has ended")
    screen.press("q")
    assert screen.wait_ended() == 0
    assert "pool 'orders' closed after" in screen.text  # it stays when the screen is gone


def test_cancelling_a_job_from_the_viewer_asks_first(make_pool: Callable[..., Any], stage: Stage, top: Top) -> None:
    pool = make_pool(2, name="orders", monitor=True)
    named = task(jobs.act, id="the-one", name="import-rows", meta={"tenant": "a"})
    future = pool.submit(named, stage.address, "to stop")
    actor = stage.enter()
    actor.ask("progress")
    _, other = stage.start(pool)
    screen = top(str(os.getpid()), "--interval", "0.1")
    screen.wait_for("the-one", "c cancel")
    screen.press("c")
    screen.wait_for("choose a job first")
    screen.press("down", "s")
    screen.wait_for("called with (", "'to stop')", "meta (tenant='a')", "progress 3 of 10", "in act")
    screen.press("c")
    screen.wait_for("cancel job the-one?  y/n")
    screen.press("n")
    screen.wait_for("not cancelled")
    screen.press("c")
    screen.wait_for("cancel job the-one?  y/n")
    screen.press("y")
    screen.wait_for("job the-one is asked to stop")
    assert actor.ask("told")[1] == "cancelled"
    actor.tell("return")
    assert future.result(WAIT) == "to stop" and pool.state == "open"
    other.tell("return")
    screen.press("q")
    assert screen.wait_ended() == 0


def test_several_pools_and_many_workers(stage: Stage, top: Top) -> None:
    many = ThreadPool(30, name="many", monitor=True, cancel_grace=0.01)
    mail = ThreadPool(1, name="mail", monitor=True)
    try:
        look_around(many, stage, top)
    finally:
        stage.close()
        many.drain(WAIT)
        mail.drain(WAIT)


def look_around(many: ThreadPool, stage: Stage, top: Top) -> None:
    stuck, _ = stage.start(many, fn=task(jobs.act, timeout=0.01, name="never-stops"))
    stuck.exception(WAIT)
    for number in range(29):
        stage.start(many, str(number), task(jobs.act, id=f"job-{number:02}"))
    screen = top()
    text = screen.wait_for("1 stuck", "stuck in never-stops", "… 19 more", "next pool")
    assert "pool 1 of 2" in text and "job-00" in text and "job-28" not in text
    screen.press(*["down"] * 30)
    screen.wait_for("job-28")
    screen.press("up")
    screen.press("enter")
    screen.wait_for("job-27", "is here", "in act")
    screen.press("tab")
    screen.wait_for("mail: threads", "no worker runs", "pool 2 of 2")
    screen.press("tab")
    screen.resize(140, 50)
    text = screen.wait_for("job-28", "job-00", "↑↓ choose")  # there is room for all
    screen.press("q")
    assert screen.wait_ended() == 0


PROGRAM = """
import os, sys, time
from steadypool import ThreadPool
pool = ThreadPool(1, name="short", monitor=True)
pool.submit(time.sleep, 3600)
print("ready", flush=True)
sys.stdin.readline()
pool.drain(0.01)
"""


@pytest.fixture
def program(runtime: Path) -> Any:
    """A program with a pool, which ends when it is told to."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime.parent)}
    command = [sys.executable, "-c", PROGRAM.replace("monitor=True", "monitor=True, cancel_grace=0.01")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process
        process.kill()


def test_a_program_that_ends_says_how(program: Any, top: Top) -> None:
    screen = top(str(program.pid), "--interval", "0.1")
    screen.wait_for("/s in", "time.sleep")
    program.communicate(b"\n", timeout=WAIT)
    screen.wait_for("pool 'short' has ended", "1 interrupted", "stuck: short-1 time.sleep")
    screen.press("q")
    assert screen.wait_ended() == 0


def test_a_program_that_is_killed(program: Any, top: Top, runtime: Path) -> None:
    screen = top(str(program.pid), "--interval", "0.1")
    screen.wait_for("/s in")
    program.kill()
    program.wait()
    screen.wait_for("the program has ended", "It did not say how")
    screen.press("q")
    assert screen.wait_ended() == 0
    assert f"process {program.pid} has ended and did not say how" in screen.text
    assert os.listdir(runtime) == [str(program.pid)]  # the next who looks removes it


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_the_terminal_is_left_as_it_was(top: Top, number: int, code: int) -> None:
    with ThreadPool(1, monitor=True):
        screen = top()
        screen.wait_for("/s in")
        assert termios.tcgetattr(screen._slave) != screen.before
        if number == signal.SIGINT:
            screen.press("\x03")
        else:
            screen.process.send_signal(number)
        screen.wait_exited()
        assert termios.tcgetattr(screen._slave) == screen.before
        assert screen.wait_ended() == code
        assert "Traceback" not in screen.text
