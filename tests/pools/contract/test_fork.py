"""A forked child has a copy of the pool, but none of its workers: it is told so, and nothing hangs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.pools.contract import jobs, program
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage

pytestmark = [
    pytest.mark.differs_on("asyncio", "it belongs to its loop, which no child has"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]


def test_the_child_s_copy_refuses_clearly(kind: Kind, stage: Stage, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    process = program.start(kind, program.forks, stage.address, path)
    try:
        actor = stage.enter()
        said: dict[str, str] = {}
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            name, _, text = line.rstrip().partition(": ")
            said[name] = text
            if name == "let go":
                actor.tell("return")
                break
        output, errors = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        process.wait()
    assert jobs.lines(path) == ["x"]  # what waits runs once, in the parent
    for call in ("submit", "try_submit", "submit_within", "map", "drain", "resize", "result of running",
                 "result of waiting"):  # fmt: skip
        assert said[call].startswith("PoolClosed"), (call, said, errors)
        assert "fork" in said[call]
    assert said["result of ended"] == "1"
    assert said["health"].endswith("is not ready: forked")
    assert said["new pool"] == "2" and said["drained"] == "True"
    assert said["child"] == "0"
    assert said["parent"] == "open True"
    assert output == "parent: True\n"
    assert errors.replace("DeprecationWarning", "").count("Error") == 0, errors
