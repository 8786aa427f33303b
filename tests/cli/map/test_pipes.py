"""The program between other programs: readers that leave, disks that fill up, kills, and input without end."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import COMMAND, Program, finish, json_lines, type_lines
from tests.cli.stage import Stage
from tests.patience import WAIT

LONG_ECHO = """
def long(line):
    return line * 100
"""


def test_a_reader_that_leaves_ends_it_quietly(program: Program) -> None:
    command = f"yes | {' '.join(COMMAND)} map jobs:upper | head -n 3; echo ${{PIPESTATUS[1]}}"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=program.folder, capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert ended.stdout.splitlines() == ['"Y"', '"Y"', '"Y"', "141"]
    assert ended.stderr == ""


def test_a_reader_that_leaves_is_noticed_while_there_is_no_input(program: Program) -> None:
    process = program.start("map", "jobs:upper")
    type_lines(process, "first")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(WAIT)) == ("", 141)


def test_a_reader_that_leaves_does_not_wait_for_a_job_that_hangs(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage")
    type_lines(process, "stubborn")
    stage.enter()
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(WAIT)) == ("", 141)


@pytest.mark.parametrize("to_file", [True, False], ids=["file", "pipe"])
def test_a_kill_leaves_whole_lines(program: Program, to_file: bool) -> None:
    arguments = ["map", "jobs:upper", "--quiet", *(["--output", "out.jsonl"] if to_file else [])]
    with subprocess.Popen(["yes", "0123456789"], stdout=subprocess.PIPE) as producer:
        process = program.start(*arguments, stdin=producer.stdout)
        assert producer.stdout is not None and process.stdout is not None
        producer.stdout.close()
        if to_file:
            path = program.folder / "out.jsonl"
            while not path.exists() or path.stat().st_size < 20_000:
                assert process.poll() is None
            process.kill()
            process.wait()
            text = path.read_text()
        else:
            head = "".join(process.stdout.readline() for _ in range(50))  # the first write may be of one line
            process.kill()
            text = head + process.stdout.read()
    assert len(json_lines(text)) > 1


def test_a_full_disk_is_said_and_leaves_whole_lines(program: Program) -> None:
    (program.folder / "long.py").write_text(LONG_ECHO)

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    ended = program.map("long:long", "--output", "out.jsonl", text="0123456789\n" * 1000, preexec_fn=limit_files)
    assert ended.code == 1
    assert "cannot write out.jsonl: File too large" in ended.err
    assert "Traceback" not in ended.err
    assert len(json_lines((program.folder / "out.jsonl").read_text())) > 90


def peak_memory(program: Program, path: Path) -> int:
    """Kilobytes that one run over the file at *path* takes at most."""
    command = [*COMMAND, "map", "jobs:length", str(path), "--quiet"]
    process = subprocess.Popen(command, cwd=program.folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_input(program: Program) -> None:
    small, large = program.folder / "small.txt", program.folder / "large.txt"
    small.write_text("a line of some length\n" * 5_000)
    large.write_text("a line of some length\n" * 60_000)
    assert peak_memory(program, large) < peak_memory(program, small) + 4_000


def test_input_is_read_only_as_the_workers_need_it(program: Program, stage: Stage) -> None:
    """With the workers busy and the queue full, a producer is held back by the pipe."""
    process = program.start("map", "jobs:on_stage", "--workers", "1", "--queue-size", "3", "--quiet")
    line = b"x" * 999 + b"\n"
    assert process.stdin is not None
    type_lines(process, "first")
    stage.enter()
    descriptor = process.stdin.fileno()
    os.set_blocking(descriptor, False)
    written = 0
    while True:
        try:
            written += os.write(descriptor, line * 60)
        except BlockingIOError:
            break
    assert written < 2_000_000, "a block and a pipe, and no more"
    process.kill()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_stderr_may_be_closed_by_its_reader(program: Program, unbuffered: str) -> None:
    process = program.start("map", "jobs:number", env={"PYTHONUNBUFFERED": unbuffered})
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    ended = finish(process, "1\nx\n3\n")
    assert ended.results == [1, 3]
    assert ended.code in (1, 141)


def test_standard_input_may_be_closed(program: Program) -> None:
    command = f"{' '.join(COMMAND)} map jobs:upper <&-"
    ended = subprocess.run(["bash", "-c", command], cwd=program.folder, capture_output=True, text=True, timeout=WAIT)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["Error: cannot read standard input: Bad file descriptor"]
