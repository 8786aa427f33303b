"""``steadypool demo``, on part of its input."""

from __future__ import annotations

import re
import signal

from tests.cli.program import Program, finish


def test_it_shows_a_hang_a_report_and_books_that_balance(program: Program) -> None:
    ended = program.run("demo", "--files", "150")
    assert ended.code == 0
    assert "Watch for:" in ended.out
    assert "Over its time limit: job demo-" in ended.out
    assert "return client.recv(1024)" in ended.out, "it says where the job hangs"
    assert "JobTimeout" in ended.out
    assert "150 files" in ended.out
    assert "the books balance" in ended.out
    assert all(int(shown) <= 100 for shown in re.findall(r"(\d+)%", ended.out + ended.err)), "more done than there is"
    assert "Traceback" not in ended.out + ended.err


def test_the_durable_one_kills_its_worker_and_loses_nothing(program: Program) -> None:
    ended = program.run("demo", "--durable", "--files", "80", "--workers", "2")
    assert ended.code == 0, ended.err
    assert "half-way: kill -9 to the worker" in ended.out
    lines = dict(line.split(maxsplit=1) for line in ended.out.splitlines() if line.startswith(("enqueued", "lost")))
    assert (lines["enqueued"], lines["lost"]) == ("80", "0")
    assert "(what the dead worker held)" in ended.out


def test_ctrl_c_drains_it(program: Program) -> None:
    process = program.start("demo")
    assert process.stdout is not None
    for line in process.stdout:
        if "drain report accounts" in line:
            break
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    assert "pool 'demo' closed" in ended.out
    assert "the books balance" in ended.out
    assert "Traceback" not in ended.err
