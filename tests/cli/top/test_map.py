"""``steadypool map`` can always be looked at, and drained from there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import folder, program, stage
from tests.cli.program import Program, finish, type_lines
from tests.cli.stage import Stage
from tests.pools.contract.stage import WAIT
from tests.pools.monitor.looker import Looker

__all__ = ["folder", "program", "stage"]


@pytest.fixture
def running(program: Program, stage: Stage, runtime: Path) -> subprocess.Popen[str]:
    """A map that runs the job "a" and has "b" waiting."""
    process = program.start(
        "map", "jobs:on_stage", "--workers", "1", "--drain-timeout", "20", env={"XDG_RUNTIME_DIR": str(runtime.parent)}
    )
    type_lines(process, "a", "b")
    return process


def test_a_run_can_be_looked_at(running: subprocess.Popen[str], program: Program, stage: Stage, runtime: Path) -> None:
    actor = stage.enter()
    environment = {"XDG_RUNTIME_DIR": str(runtime.parent), "COLUMNS": "80"}
    looked = program.run(
        "top", str(running.pid), "--once", "--json", "--interval", "0.1", env=environment, stdin=subprocess.DEVNULL
    )
    assert looked.code == 0, looked.err
    [shown] = json.loads(looked.out)["pools"]
    assert shown["stats"]["name"] == "map" and shown["stats"]["running"] == 1
    actor.tell("done")
    stage.enter().tell("done")
    assert finish(running).code == 0
    assert os.listdir(runtime) == []


def test_a_run_that_is_drained_from_outside_says_that_it_is_not_done(
    running: subprocess.Popen[str], stage: Stage
) -> None:
    actor = stage.enter()
    with Looker(running.pid) as looker:
        while looker.look()["map"]["stats"]["accepted"] < 2:
            pass
        number = looker.look()["map"]["number"]
        looker.ask(do="drain", pool=number, seconds=20)
        actor.tell("first")
        stage.enter().tell("second")
        heard = looker.hear()
        assert heard is not None and heard[0] == "ended"
    assert running.wait(WAIT) == 1  # though its input is open
    ended = finish(running)
    assert (ended.code, ended.results) == (1, ["first", "second"])
    assert "drained from outside after line 2" in ended.err and "nothing after that line was started" in ended.err


def test_a_run_that_is_drained_when_all_is_read_is_done(program: Program, stage: Stage, runtime: Path) -> None:
    (program.folder / "in.txt").write_text("a\nb\n")
    environment = {"XDG_RUNTIME_DIR": str(runtime.parent)}
    running = program.start("map", "jobs:on_stage", "in.txt", "--workers", "2", env=environment)
    actors = stage.enter_many(2)
    with Looker(running.pid) as looker:
        looker.ask(do="drain", pool=looker.look()["map"]["number"])
        for actor in actors.values():
            actor.tell("done")
        ended = finish(running)
    assert (ended.code, ended.results) == (0, ["done", "done"])
    assert "from outside" not in ended.err
