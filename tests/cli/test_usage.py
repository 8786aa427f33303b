"""A mistake on the command line: exit code 2, and one clear line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.program import LIMIT, Program


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuchmodule:f"], "there is no module 'nosuchmodule' here or among those installed"),
        (["jobs.nothing:f"], "there is no module 'jobs.nothing'"),
        (["jobs:uper"], "module 'jobs' has no 'uper'; did you mean 'upper'?"),
        (["jobs:Holder.nothing"], "has no 'nothing'"),
        (["jobs:not_callable"], "jobs:not_callable is an int, not a function"),
        (["os:path"], "os:path is a module, not a function"),
        (["jobs.upper"], "'jobs.upper' is not of the form MODULE:FUNCTION; did you mean jobs:upper?"),
        (["jobs.py:upper"], "'jobs.py' is a file; give the module's name: jobs:upper"),
        (["./jobs.py:upper"], "give the module's name: jobs:upper"),
        (["jobs:"], "'jobs:' is not of the form MODULE:FUNCTION"),
        ([":upper"], "':upper' is not of the form MODULE:FUNCTION"),
        (["jobs:coroutine"], "jobs:coroutine is a coroutine function, which --kind thread cannot run"),
        (["jobs:generator"], "jobs:generator is a generator function; return a list"),
        (["operator:add"], "map calls operator:add(line), with one argument, but it is operator:add(a, b, /)"),
        (["jobs:upper", "missing.txt"], "cannot read missing.txt: No such file or directory"),
        (["jobs:upper", "."], ". is a directory"),
        (["jobs:upper", "--output", "no/such/out"], "cannot write no/such/out: No such file or directory"),
        (["jobs:upper", "jobs.py", "--output", "jobs.py"], "jobs.py is the input; write to another file"),
        (["jobs:upper", "-o", "x", "-e", "./x"], "x is given for results and for errors"),
    ],
)
def test_one_line_and_exit_code_2(program: Program, arguments: list[str], message: str) -> None:
    ended = program.map(*arguments, text="x\n")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jobs:upper", "--workers", "0"], "0 is not in the range"),
        (["jobs:upper", "--timeout", "0"], "0.0 is not in the range"),
        (["jobs:upper", "--timeout", "soon"], "'soon' is not a valid float"),
        (["jobs:upper", "--kind", "thred"], "'thred' is not"),
        (["jobs:upper", "--worker", "2"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_option_is_refused_by_name(program: Program, arguments: list[str], message: str) -> None:
    ended = program.map(*arguments, text="x\n")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("import json\nimport nosuchdependency\n", "No module named 'nosuchdependency'"),
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('no configuration')\n", "RuntimeError: no configuration"),
        ("import sys; sys.exit('not a module')\n", "SystemExit: not a module"),
    ],
)
def test_an_error_in_the_users_module_is_shown_with_its_place(program: Program, source: str, shown: str) -> None:
    (program.folder / "wrong.py").write_text(source)
    ended = program.map("wrong:f", text="x\n")
    assert (ended.code, ended.out) == (2, "")
    assert shown in ended.err
    assert "wrong.py" in ended.err, "where it is wrong"
    assert "importlib" not in ended.err, "nothing but the user's own frames"
    assert ended.err.splitlines()[-1].startswith("Error: importing 'wrong' failed: ")


def test_nothing_is_overwritten_before_everything_is_checked(program: Program) -> None:
    (program.folder / "out.jsonl").write_text("precious")
    assert program.map("jobs:nothing", "--output", "out.jsonl").code == 2
    assert program.map("jobs:upper", "missing.txt", "--output", "out.jsonl").code == 2
    assert (program.folder / "out.jsonl").read_text() == "precious"


def test_help_names_every_exit_code(program: Program) -> None:
    ended = program.map("--help")
    assert ended.code == 0
    for code in ("0 ", "1 ", "2 ", "130 ", "141 "):
        assert any(line.strip().startswith(code) or f" {code}" in line for line in ended.out.splitlines())


@pytest.mark.parametrize(
    ("command", "closed", "code"), [(["--version"], "stdout", 141), (["map", "--nope"], "stderr", 2)]
)
def test_a_reader_that_has_left_changes_no_exit_code(
    program: Program, command: list[str], closed: str, code: int
) -> None:
    read, write = os.pipe()
    os.close(read)
    process = program.start(*command, env={"PYTHONUNBUFFERED": ""}, **{closed: write})
    os.close(write)
    process.communicate(timeout=LIMIT)
    assert process.returncode == code


def test_version(program: Program) -> None:
    assert program.run("--version").out.startswith("steadypool, version 0.")


def test_the_package_runs_as_a_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steadypool", "--version"], capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert ended.stdout.startswith("steadypool, version ")


def test_a_worker_does_not_load_the_whole_program() -> None:
    code = "import sys, steadypool.cli.map.line_task; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert not {"rich", "msgspec", "steadypool.cli.app"} & set(ended.stdout.split())
