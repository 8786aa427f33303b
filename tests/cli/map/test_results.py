"""What ``steadypool map`` writes: one result for each line, in the order of the input."""

from __future__ import annotations

import json

import pytest

from tests.cli.program import Program, finish, json_lines, type_lines
from tests.cli.stage import Stage


def test_results_are_json_lines_in_the_order_of_the_input(program: Program) -> None:
    lines = [f"line {n}" for n in range(500)]
    ended = program.map("jobs:upper", "--workers", "8", text="\n".join(lines) + "\n")
    assert ended.results == [line.upper() for line in lines]
    assert ended.code == 0


def test_the_input_may_be_a_file_and_the_output_another(program: Program) -> None:
    (program.folder / "in.txt").write_text("a\nbb\nccc\n")
    ended = program.map("jobs:length", "in.txt", "--output", "out.jsonl")
    assert (ended.code, ended.out) == (0, "")
    assert (program.folder / "out.jsonl").read_text() == "1\n2\n3\n"


def test_a_dash_is_standard_input(program: Program) -> None:
    assert program.map("jobs:length", "-", text="abc\n").results == [3]


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n\ntwo\n", ["one", "", "two"]),
        (b"dos\r\nlines\r\n", ["dos", "lines"]),
        (b"\xef\xbb\xbfmark\n", ["mark"]),
        ("ä ö 漢\n".encode(), ["ä ö 漢"]),
        (b"a bad\xffname\xc3\xa4 \xf0\x9f\x98\x80\n", ["a bad\udcffnameä 😀"]),
        (b" spaces stay \n", [" spaces stay "]),
        (b"x" * 200_000 + b"\nshort\n", ["x" * 200_000, "short"]),
    ],
)
def test_a_line_is_its_text_without_its_end(program: Program, raw: bytes, seen: list[str]) -> None:
    (program.folder / "in.txt").write_bytes(raw)
    assert program.map("jobs:same", "in.txt").results == seen


def test_json_input_gives_the_function_the_value(program: Program) -> None:
    values = [{"a": [1, 2.5, None]}, "text", 3, True, None]
    ended = program.map("jobs:same", "--json", text="".join(json.dumps(value) + "\n" for value in values))
    assert ended.results == values


def test_with_input_says_which_line_a_result_belongs_to(program: Program) -> None:
    ended = program.map("jobs:number", "--with-input", text='1\nno "number"\n3\n')
    assert ended.results == [{"line": 1, "input": "1", "result": 1}, {"line": 3, "input": "3", "result": 3}]


def test_a_slow_line_holds_back_the_ones_behind_it_but_not_their_work(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage", "--workers", "3", "--quiet")
    type_lines(process, "a", "b", "c")
    actors = stage.enter_many(3)
    for name in "cba":
        actors[name].tell(f"{name} is done")
    assert finish(process).results == ["a is done", "b is done", "c is done"]


def test_unordered_writes_results_as_jobs_end(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage", "--workers", "3", "--unordered", "--quiet")
    type_lines(process, "a", "b", "c")
    actors = stage.enter_many(3)
    assert process.stdout is not None
    for name in "cab":
        actors[name].tell(f"{name} is done")
        assert json.loads(process.stdout.readline()) == f"{name} is done"
    assert finish(process).code == 0


def test_a_result_is_written_while_the_input_is_still_open(program: Program) -> None:
    process = program.start("map", "jobs:upper", "--quiet")
    assert process.stdout is not None
    for line in ("first", "second"):
        type_lines(process, line)
        assert process.stdout.readline() == f'"{line.upper()}"\n'
    assert finish(process).code == 0


def test_what_the_function_prints_goes_to_standard_error(program: Program) -> None:
    ended = program.map("jobs:chatty", "--workers", "1", text="a\nb\n")  # print() writes in pieces
    assert ended.results == ["a", "b"]
    assert "printed by python a" in ended.err
    assert ended.err.count("written by os.write") == 2


def test_functions_are_found_as_python_finds_them(program: Program) -> None:
    assert program.map("os.path:basename", text="/a/b\n").results == ["b"]
    assert program.map("jobs:Holder.method", text="x\n").results == [["method", "x"]]


def test_the_functions_own_options_hold_and_the_command_line_wins(program: Program) -> None:
    assert program.map("jobs:shaky", text="x\n").results == [3]
    assert program.map("jobs:shaky", "--attempts", "2", text="x\n").code == 1
    assert program.map("jobs:slow", text="5\n").code == 1
    assert program.map("jobs:slow", "--timeout", "20", text="0.1\n").results == ["0.1"]


def test_the_report_says_what_became_of_the_lines(program: Program) -> None:
    ended = program.map("jobs:number", text="1\nx\n3\ny\n")
    assert ended.code == 1
    assert "4 accepted: 2 succeeded, 2 failed" in ended.err
    assert "2 errors in 1 group" in ended.err
    assert "ValueError" in ended.err


def test_quiet_says_one_line_and_only_if_lines_failed(program: Program) -> None:
    assert program.map("jobs:number", "--quiet", text="1\n2\n").err == ""
    (one,) = program.map("jobs:number", "--quiet", text="x\n").err.splitlines()
    assert one.startswith("1 error: ValueError: ") and "jobs.py:" in one
    (several,) = program.map("jobs:positive", "--quiet", text="x\n2\ny\n-1\n").err.splitlines()
    assert several.startswith("3 errors in 2 groups, most often ValueError: ")


def test_a_small_queue_and_many_workers_still_do_everything(program: Program) -> None:
    ended = program.map(
        "jobs:number", "--queue-size", "1", "--workers", "16", text="".join(f"{n}\n" for n in range(300))
    )
    assert ended.results == list(range(300))


def test_json_lines_helper_refuses_half_a_line() -> None:
    with pytest.raises(AssertionError):
        json_lines('"whole"\n"hal')
