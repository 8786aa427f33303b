"""``steadypool map --journal``: a run that is killed goes on where it was."""

from __future__ import annotations

import json
import os
import resource
import textwrap
from pathlib import Path

from tests.cli.program import Program, finish

MODULE = """
import os
def note(line):
    descriptor = os.open("ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\\n").encode())
    if line == os.environ.get("STOP_AT"):
        os.kill(os.getppid() if os.environ.get("IN_CHILD") else os.getpid(), 9)
    if line == os.environ.get("FAIL_AT"):
        raise ValueError(line)
    return int(line) * 2
"""
LINES = "".join(f"{number}\n" for number in range(400))
ARGUMENTS = ("map", "work:note", "in", "--journal", "done.db", "--workers", "2", "--queue-size", "10", "--quiet")


def prepare(program: Program) -> Path:
    (program.folder / "work.py").write_text(MODULE)
    (program.folder / "in").write_text(LINES)
    return program.folder / "ran"


def test_a_killed_run_does_only_what_was_not_done(program: Program) -> None:
    ran = prepare(program)
    for stop_at in ("150", "300"):
        assert program.run(*ARGUMENTS, "--output", "out", env={"STOP_AT": stop_at}).code == -9
    before = ran.read_text().splitlines()
    assert program.run(*ARGUMENTS, "--output", "out").code == 0
    results = [json.loads(line) for line in (program.folder / "out").read_text().splitlines()]
    assert results == [number * 2 for number in range(400)]  # each line once, in order
    after = ran.read_text().splitlines()[len(before) :]
    assert len(after) < 120  # what had ended before the last few of the window was written down
    assert set(before) | set(after) == set(map(str, range(400)))
    assert program.run(*ARGUMENTS).results == results  # nothing is left to do
    assert len(ran.read_text().splitlines()) == len(before) + len(after)


def test_what_failed_is_tried_again(program: Program) -> None:
    ran = prepare(program)
    assert program.run(*ARGUMENTS, env={"FAIL_AT": "7"}).code == 1
    again = program.run(*ARGUMENTS)
    assert again.code == 0 and len(again.results) == 400
    assert len(ran.read_text().splitlines()) == 401


def test_another_input_or_another_function_is_refused(program: Program) -> None:
    prepare(program)
    assert program.run(*ARGUMENTS).code == 0
    (program.folder / "in").write_text("0\n5\n")
    other = program.run(*ARGUMENTS)
    assert other.code == 2 and "line 2 of the input is not what it was" in other.err
    other = program.run("map", "builtins:len", "in", "--journal", "done.db")
    assert other.code == 2 and "the journal of another run (work:note over lines as text)" in other.err
    other = program.run("map", "builtins:len", "in", "--journal", "no/folder/done.db")
    assert other.code == 2 and "there is no folder" in other.err


SAME = """
    import os
    def same(line):
        return line
    def wait(line):
        open("began", "w").close()
        with open("go") as file:
            file.read()
        return line
"""


def test_lines_that_are_no_utf_8(program: Program) -> None:
    (program.folder / "work.py").write_text(textwrap.dedent(SAME))
    (program.folder / "in").write_bytes(b"a\ncaf\xe9\nb\n")
    arguments = ("map", "work:same", "in", "--journal", "done.db", "--quiet")
    without = program.run("map", "work:same", "in", "--quiet")
    for _ in ("new", "from the journal"):
        ended = program.run(*arguments)
        assert (ended.code, ended.out, ended.err) == (0, without.out, "")


def test_a_disk_that_is_full(program: Program) -> None:
    (program.folder / "work.py").write_text(textwrap.dedent(SAME))
    (program.folder / "in").write_text("".join(f"{number}\n" for number in range(20_000)))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # noqa: E731
    ended = program.run(
        "map", "work:same", "in", "--journal", "done.db", "--kind", "thread", "--quiet", "-o", "/dev/null",
        preexec_fn=limit,
    )  # fmt: skip
    assert ended.code == 1 and ended.err.count("\n") == 1, ended.err
    assert "Error: the journal cannot be used any more: " in ended.err


def test_two_runs_on_one_journal_at_a_time(program: Program) -> None:
    (program.folder / "work.py").write_text(textwrap.dedent(SAME))
    (program.folder / "in").write_text("a\n")
    os.mkfifo(program.folder / "go")
    arguments = ("map", "work:wait", "in", "--journal", "done.db", "--quiet")
    first = program.start(*arguments)
    with (program.folder / "go").open("w") as go:  # it waits for the job
        second = program.run(*arguments)
        assert second.code == 2 and "another run writes to the journal done.db now" in second.err
        go.write("on\n")
    assert finish(first).results == ["a"]
    assert program.run(*arguments).results == ["a"]
