"""Ctrl-C and SIGTERM, sent for real: nothing that was taken is lost, and the end comes when it should."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.cli.program import Program, finish, json_lines, type_lines
from tests.cli.stage import Stage
from tests.patience import WAIT, takes

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_it_stops_at_once_while_it_waits_for_input(program: Program, number: signal.Signals) -> None:
    process = program.start("map", "jobs:upper")
    type_lines(process, "first")
    assert process.stdout is not None
    assert process.stdout.readline() == '"FIRST"\n'
    with takes(1.5):
        process.send_signal(number)
        assert process.wait(WAIT) == 128 + number
    assert process.stderr is not None
    assert f"stopped by {number.name} after line 1: 1 succeeded, 0 failed" in process.stderr.read()


@BOTH
def test_what_runs_is_finished_and_what_waits_is_reported(
    program: Program, stage: Stage, number: signal.Signals
) -> None:
    errors = program.errors_pipe()
    process = program.start("map", "jobs:on_stage", "--workers", "2", "--errors", "errors.jsonl")
    errors.open()
    type_lines(process, "a", "b", *(f"waits {n}" for n in range(10)))
    actors = stage.enter_many(2)
    process.send_signal(number)
    rows = errors.read(10)
    actors["a"].tell("a finished")
    actors["b"].tell("b finished")
    ended = finish(process)
    assert ended.code == 128 + number
    assert ended.results == ["a finished", "b finished"]
    assert "10 read but not done; nothing after line 12 was started" in ended.err
    assert errors.read_rest() == []
    assert [row["input"] for row in rows] == [f"waits {n}" for n in range(10)]
    assert {(row["outcome"], row["attempts"]) for row in rows} == {("returned", 0)}


def test_a_second_signal_cancels_what_runs(program: Program, stage: Stage) -> None:
    errors = program.errors_pipe()
    process = program.start("map", "jobs:on_stage", "--workers", "1", "--errors", "errors.jsonl")
    errors.open()
    type_lines(process, "stubborn", "waits")
    stage.enter()
    process.send_signal(signal.SIGINT)
    assert [(row["input"], row["outcome"]) for row in errors.read(1)] == [("waits", "returned")]
    with takes(2.5):  # the grace is one second
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
    assert (ended.code, ended.out) == (128 + signal.SIGINT, "")
    assert [(row["input"], row["outcome"]) for row in errors.read_rest()] == [("stubborn", "interrupted")]
    assert "stuck" in ended.err and "readline" in ended.err, "it says where the job hangs"


def test_a_third_signal_ends_it_at_once(program: Program, stage: Stage) -> None:
    errors = program.errors_pipe()
    process = program.start("map", "jobs:on_stage", "--workers", "1", "--errors", "errors.jsonl")
    errors.open()
    type_lines(process, "stubborn", "waits")
    stage.enter()
    process.send_signal(signal.SIGTERM)
    errors.read(1)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)  # two of one kind may arrive as one
    assert process.returncode == -signal.SIGTERM


def test_drain_timeout_bounds_what_runs(program: Program, stage: Stage) -> None:
    process = program.start("map", "jobs:on_stage", "--workers", "1", "--drain-timeout", "0.2")
    type_lines(process, "stubborn")
    stage.enter()
    with takes(2.5):
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 130


@BOTH
def test_no_line_is_lost_when_it_is_stopped_in_full_flight(program: Program, number: signal.Signals) -> None:
    """A producer that never ends; the signal comes wherever it comes."""
    endless = "import itertools\nfor n in itertools.count(): print(n)"
    with subprocess.Popen(
        [sys.executable, "-c", endless], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as producer:
        process = program.start(
            "map", "jobs:number", "--errors", "errors.jsonl", "--queue-size", "50", stdin=producer.stdout
        )
        assert producer.stdout is not None
        producer.stdout.close()
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(1000)]
        process.send_signal(number)
        ended = finish(process)
    assert ended.code == 128 + number
    results = json_lines("".join(first) + ended.out)
    undone = [error["line"] - 1 for error in json_lines((program.folder / "errors.jsonl").read_text())]
    taken = len(results) + len(undone)
    assert sorted(results + undone) == list(range(taken)), "every line taken is in one file or the other"
    assert f"after line {taken:,}:" in ended.err


def test_a_signal_that_was_ignored_stays_ignored(program: Program, stage: Stage) -> None:
    """As under ``nohup`` and in a shell's background job."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); from steadypool.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "map", "jobs:on_stage", "--quiet"],
        cwd=program.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    type_lines(process, "a")
    actor = stage.enter()
    process.send_signal(signal.SIGINT)
    type_lines(process, "b")
    other = stage.enter()
    actor.tell("a")
    other.tell("b")
    assert finish(process).results == ["a", "b"]


def test_ctrl_c_while_the_module_is_imported_says_nothing(program: Program) -> None:
    (program.folder / "endless.py").write_text(
        "import sys, threading\nprint('importing', file=sys.stderr, flush=True)\nthreading.Event().wait()\n"
    )
    process = program.start("map", "endless:f")
    assert process.stderr is not None
    assert process.stderr.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert (ended.code, ended.err.strip()) == (130, "")
