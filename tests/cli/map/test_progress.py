"""What is seen while it runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import pty
import re

from tests.cli.program import Program, finish, type_lines
from tests.cli.stage import Stage
from tests.patience import WAIT


def test_a_log_gets_a_plain_line_every_few_seconds(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage", "--workers", "1")
    type_lines(process, "a", "b")
    stage.enter().tell("done")
    actor = stage.enter()
    assert process.stderr is not None
    line = process.stderr.readline()
    while line.startswith("steadypool: 0 done, "):  # a busy machine takes longer to start the job
        line = process.stderr.readline()
    assert re.fullmatch(r"steadypool: 1 done, [\d,]+/s, 0 failed\n", line)
    actor.tell("done")
    assert finish(process).code == 0


def test_a_terminal_gets_a_bar_with_rate_failures_and_time_left(program: Program, stage: Stage) -> None:
    (program.folder / "in.txt").write_text("a\nb\n")
    screen, terminal = pty.openpty()
    process = program.start("map", "jobs:on_stage", "in.txt", "--workers", "1", stderr=terminal, env={"TERM": "xterm"})
    os.close(terminal)
    stage.enter().tell("fail")
    read_until(screen, rb"50%.*1 done, [\d,]+/s, 1 failed, \d+:\d\d:\d\d left")
    stage.enter().tell("done")
    read_until(screen, rb"(?s)2 done.*accepted: 1 succeeded, 1 failed")
    assert process.stdout is not None
    assert process.stdout.read() == '"done"\n'
    assert process.wait(WAIT) == 1
    os.close(screen)


def test_typing_lines_at_a_terminal_is_explained(program: Program) -> None:
    screen, terminal = pty.openpty()
    process = program.start("map", "jobs:upper", stdin=terminal)
    os.close(terminal)
    assert process.stderr is not None
    assert "Ctrl-D ends the input" in process.stderr.readline()
    os.write(screen, b"hello\n\x04")
    assert finish(process).results == ["HELLO"]
    os.close(screen)


def read_until(screen: int, wanted: bytes) -> None:
    """Read until what has appeared on the terminal matches *wanted*; it comes in pieces."""
    seen = b""
    while not re.search(wanted, seen):
        seen += os.read(screen, 4096)
