"""``steadypool batches``, and what ``jobs show`` says of jobs that wait for others."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

from steadypool import Queue
from tests.cli.program import Program

APP = """
    from steadypool import Queue
    queue = Queue("sqlite:///jobs.db")

    @queue.task
    def load(row: int) -> int:
        return 1 // row

    @queue.task
    def report() -> None: ...
"""
URL = ("--url", "sqlite:///jobs.db")


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


def test_batches_are_listed_shown_and_cancelled(shop: Program) -> None:
    with Queue(f"sqlite:///{shop.folder}/jobs.db") as queue:
        load, report = (queue.task(name=f"shop.{name}")(lambda row=0: row) for name in ("load", "report"))
        queue.engine.migrate()
        assert shop.run("batches", "list", *URL).out == "no batches\n"
        with queue.batch("import", then=report.call(), finally_=report.call()) as batch:
            one, other = load.enqueue(1), load.enqueue(0)
        last = load.options(after=[one, other]).enqueue(2)
        never = queue.batch("never sealed")
        never.add(load.options(delay=60).call(1))
    shown = shop.run("jobs", "show", last.id, *URL).out
    assert re.search(rf"waits for +{one.id} \(available\)", shown) and "waiting" in shown
    [plain] = map(json.loads, shop.run("jobs", "show", last.id, "--json", *URL).out.splitlines())
    assert plain["after"][1] == {"id": other.id, "needs": "success", "state": "open"}
    assert shop.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    rows = [json.loads(line) for line in shop.run("batches", "list", "--json", *URL).out.splitlines()]
    assert [(row["name"], row["state"], row["total"], row["failed"]) for row in rows] == [
        ("never sealed", "open", 1, 0),
        ("import", "finished", 2, 1),
    ]
    listed = shop.run("batches", *URL, "list", "--open").out
    assert never.id in listed and batch.id not in listed
    shown = shop.run("batches", "show", batch.id, *URL).out
    for text in (f"failed members +{other.id}", "completed +1", f"followed by +batch:{batch.number}:then"):
        assert re.search(text, shown), text
    assert f"needed {other.id}, which was discarded" in shop.run("jobs", "show", last.id, *URL).out
    ran = shop.run("batches", "cancel", never.id, batch.id, "batch-1", *URL)
    assert ran.code == 1 and f"{never.id} is cancelled" in ran.out
    assert f"{batch.id} has finished already" in ran.err and "no batch 'batch-1'" in ran.err
    ran = shop.run("batches", "show", "import", *URL)
    assert ran.code == 2 and ran.err == (
        "Error: there is no batch 'import': give its id, such as 'batch-7', which steadypool batches list shows\n"
    )
    assert "such as 'batch-99'" in shop.run("batches", "show", "99", *URL).err
