"""The same command line on every kind of worker, and what processes can do besides."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.cli.program import Program, finish, json_lines, type_lines
from tests.cli.stage import Stage


def errors_of(program: Program) -> list[dict[str, Any]]:
    return json_lines((program.folder / "errors.jsonl").read_text())


def test_processes_give_the_same_results_in_the_same_order(program: Program) -> None:
    lines = "".join(f"line {n}\n" for n in range(300))
    ended = program.map("jobs:upper", "--kind", "process", "--workers", "2", text=lines)
    assert ended.results == [f"LINE {n}" for n in range(300)]
    assert ended.code == 0


def test_an_error_of_a_process_is_told_whole(program: Program) -> None:
    ended = program.map("jobs:number", "--kind", "process", "--errors", "errors.jsonl", text="1\ntwo\n")
    assert (ended.code, ended.results) == (1, [1])
    (error,) = errors_of(program)
    assert (error["line"], error["input"], error["type"]) == (2, "two", "ValueError")
    assert error["error"] == "invalid literal for int() with base 10: 'two'"
    assert "return int(line)" in error["traceback"]


def test_the_functions_own_options_hold_on_processes(program: Program) -> None:
    ended = program.map("jobs:slow_in_a_process", "--kind", "process", "-e", "errors.jsonl", text="30\n0\n")
    assert (ended.code, ended.results) == (1, ["0"])
    assert [(error["input"], error["outcome"]) for error in errors_of(program)] == [("30", "timed_out")]


def test_a_line_that_kills_its_process_costs_that_line_alone(program: Program) -> None:
    (program.folder / "deadly.py").write_text(
        "import os, signal\n"
        "def f(line):\n"
        "    if line == 'die':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return line\n"
    )
    text = "a\nb\ndie\nc\nd\n"
    ended = program.map("deadly:f", "--kind", "process", "--workers", "2", "--errors", "errors.jsonl", text=text)
    assert (ended.code, ended.results) == (1, ["a", "b", "c", "d"])
    (error,) = errors_of(program)
    assert (error["input"], error["outcome"], error["type"]) == ("die", "crashed", "steadypool.WorkerCrashed")
    assert "SIGKILL" in error["error"]
    assert "Traceback" not in ended.err


def test_what_a_process_prints_goes_to_standard_error(program: Program) -> None:
    ended = program.map("jobs:chatty", "--kind", "process", text="a\n")
    assert ended.results == ["a"]
    assert "written by os.write" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_a_process_finish_its_line(program: Program, stage: Stage, number: signal.Signals) -> None:
    errors = program.errors_pipe()
    process = program.start("map", "jobs:on_stage", "--kind", "process", "--workers", "1", "--errors", "errors.jsonl")
    errors.open()
    type_lines(process, "runs", "waits")
    actor = stage.enter()
    process.send_signal(number)
    assert [(row["input"], row["outcome"]) for row in errors.read(1)] == [("waits", "returned")]
    actor.tell("finished")
    ended = finish(process)
    assert (ended.code, ended.results) == (128 + number, ["finished"])


def test_a_second_signal_kills_a_process_that_does_not_stop(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage", "--kind", "process", "--workers", "1")
    type_lines(process, "stubborn")
    stage.enter()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert (ended.code, ended.out) == (130, "")
    assert "1 interrupted" in ended.err
