"""A folder with a module of jobs in it, and the program as a process of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.cli.stage import Stage

JOBS = """
    import os, socket, sys, time
    from steadypool import Retry, task

    def upper(line):
        return line.upper()

    def length(line):
        return len(line)

    def same(value):
        return value

    def number(line):
        return int(line)

    def positive(line):
        if line.startswith("-"):
            raise ArithmeticError(line)
        return int(line)

    def on_stage(line):
        '''Say that it started, and do what it is told to.'''
        with socket.socket(socket.AF_UNIX) as stage:
            stage.connect("stage")
            stage.sendall(line.encode() + b"\\n")
            order = stage.makefile().readline().rstrip()
        if order == "fail":
            raise ValueError(f"{line} was told to fail")
        return order

    def on_stage_if_it_hangs(line):
        return on_stage(line) if line == "hangs" else line

    def chatty(line):
        print("printed by python", line)
        os.write(1, b"written by os.write\\n")
        return line

    def a_set(line):
        return {line}

    def not_a_number(line):
        return float("nan")

    attempts = {}

    @task(retry=Retry(3, backoff=0.001), name="shaky")
    def shaky(line):
        attempts[line] = attempts.get(line, 0) + 1
        if attempts[line] < 3:
            raise OSError(f"attempt {attempts[line]} of {line}")
        return attempts[line]

    @task(timeout=0.05)
    def slow(line):
        time.sleep(float(line))
        return line

    @task(timeout=1.5)
    def slow_in_a_process(line):
        time.sleep(float(line))
        return line

    async def coroutine(line):
        return line

    def generator(line):
        yield line

    class Rude(Exception):
        def __str__(self):
            raise SystemExit("from __str__")

    def rude(line):
        raise Rude

    class Holder:
        @staticmethod
        def method(line):
            return ["method", line]

    not_callable = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The program's current directory, with ``jobs.py`` in it."""
    (tmp_path / "jobs.py").write_text(textwrap.dedent(JOBS))
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    """Starts ``steadypool`` in that folder; what still runs at the end of the test is killed."""
    program = Program(folder)
    yield program
    program.kill_all()


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    """Where the jobs of ``jobs:on_stage`` wait for what they are told."""
    with Stage(folder / "stage") as stage:
        yield stage
