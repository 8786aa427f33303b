"""What becomes of a line that fails: it is in the errors file, in the table, and disturbs no other line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.program import Ended, Program, finish, json_lines, type_lines
from tests.cli.stage import Stage


def errors_of(program: Program) -> list[dict[str, Any]]:
    return json_lines((program.folder / "errors.jsonl").read_text())


def map_with_errors(program: Program, *arguments: str, text: str) -> Ended:
    return program.map(*arguments, "--errors", "errors.jsonl", text=text)


def test_every_line_is_in_one_file_or_the_other(program: Program) -> None:
    ended = map_with_errors(program, "jobs:number", text="1\ntwo\n3\n")
    assert (ended.code, ended.results) == (1, [1, 3])
    (error,) = errors_of(program)
    trace = error.pop("traceback")
    assert error == {
        "line": 2,
        "input": "two",
        "outcome": "failed",
        "type": "ValueError",
        "error": "invalid literal for int() with base 10: 'two'",
        "attempts": 1,
    }
    assert trace.startswith("Traceback") and "return int(line)" in trace
    assert "steadypool" not in trace, "only the user's own frames"


def test_an_exception_that_does_not_say_what_it_is_costs_its_line_alone(program: Program) -> None:
    ended = map_with_errors(program, "jobs:rude", text="1\n2\n")
    assert ended.code == 1
    errors = errors_of(program)
    assert [error["type"] for error in errors] == ["jobs.Rude"] * 2
    assert {error["error"] for error in errors} == {"<str() of the exception raised SystemExit>"}


def test_attempts_are_counted(program: Program) -> None:
    map_with_errors(program, "jobs:number", "--attempts", "2", text="x\n")
    assert [error["attempts"] for error in errors_of(program)] == [2]


@pytest.mark.parametrize(
    ("function", "options", "line", "message"),
    [
        ("same", ["--json"], "{not json", "the line is no JSON: Expecting property name"),
        ("a_set", [], "x", "Object of type set is not JSON serializable"),
        ("not_a_number", [], "x", "Out of range float values are not JSON compliant"),
    ],
)
def test_what_is_no_json_fails_and_is_not_tried_again(
    program: Program, function: str, options: list[str], line: str, message: str
) -> None:
    ended = map_with_errors(program, f"jobs:{function}", "--attempts", "3", *options, text=f"{line}\n")
    (error,) = errors_of(program)
    assert message in error["error"]
    assert (ended.code, ended.out, error["attempts"]) == (1, "", 1)


def test_a_job_over_its_time_limit_costs_that_line_alone(program: Program, stage: Stage) -> None:
    process = program.start(
        "map", "jobs:on_stage_if_it_hangs", "--workers", "2", "--timeout", "0.5", "--errors", "errors.jsonl"
    )
    type_lines(process, "hangs", "ends")
    stage.enter()
    ended = finish(process)
    assert (ended.code, ended.results) == (1, ["ends"])
    (error,) = errors_of(program)
    assert (error["input"], error["outcome"], error["attempts"]) == ("hangs", "timed_out", 1)
    assert "readline" in error["error"], "it says where the job was"
    assert "stuck" in ended.err


def test_a_run_that_stands_still_says_why_and_goes_on_when_it_can(program: Program, stage: Stage) -> None:
    """One worker and one that replaced it, both in jobs that do not stop: nobody is left for the third line."""
    process = program.start("map", "jobs:on_stage", "--workers", "1", "--timeout", "0.1", "--quiet")
    type_lines(process, "a", "b", "c")
    actors = stage.enter_many(2)
    assert process.stderr is not None
    assert "every worker is stuck" in process.stderr.readline()
    actors["a"].tell("too late")
    assert stage.enter().line == "c"
    assert finish(process).code == 1


def test_total_timeout_counts_the_wait(program: Program, stage: Stage) -> None:
    process = program.start(
        "map", "jobs:on_stage", "--workers", "1", "--total-timeout", "0.8", "--errors", "errors.jsonl", "--quiet"
    )
    type_lines(process, "runs", "waits")
    stage.enter()
    assert finish(process).code == 1
    assert {(error["input"], error["outcome"], error["attempts"]) for error in errors_of(program)} == {
        ("runs", "timed_out", 1),
        ("waits", "timed_out", 0),
    }


def test_fail_fast_starts_nothing_more_and_finishes_what_runs(program: Program, stage: Stage) -> None:
    errors = program.errors_pipe()
    process = program.start("map", "jobs:on_stage", "--workers", "2", "--fail-fast", "--errors", "errors.jsonl")
    errors.open()
    type_lines(process, "fails", "runs", *(f"waits {n}" for n in range(20)))
    actors = stage.enter_many(2)
    actors["fails"].tell("fail")
    rows = errors.read(1)
    actors["runs"].tell("finished")
    ended = finish(process)
    rows += errors.read_rest()
    assert (ended.code, ended.results) == (1, ["finished"])
    # How many of the others were in the queue by then is open, but none of them may have started.
    assert [row["outcome"] for row in rows] == ["failed"] + ["returned"] * (len(rows) - 1)
    assert sum(row["attempts"] for row in rows) == 1
    assert f"stopped at the first failure, after line {len(rows) + 1}: {len(rows) - 1} read but not" in ended.err


def test_fail_fast_goes_through_when_nothing_fails(program: Program) -> None:
    assert program.map("jobs:number", "--fail-fast", text="1\n2\n").code == 0


def test_sys_exit_in_a_job_fails_that_line(program: Program) -> None:
    ended = map_with_errors(program, "sys:exit", text="goodbye\n")
    assert ended.code == 1
    assert errors_of(program)[0]["type"].endswith("JobExit")
