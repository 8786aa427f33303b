"""``steadypool jobs retry|cancel|discard`` by a filter."""

from __future__ import annotations

import textwrap

import pytest
from click.testing import CliRunner

from steadypool.cli.queue.jobs import jobs_group
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import NewJob
from tests.cli.program import Program

APP = """
    from steadypool import Queue
    queue = Queue("sqlite:///jobs.db")

    @queue.task(tags=("tenant:42",))
    def send_email(text: str) -> None: raise ValueError(text)

    @queue.task
    def other() -> None: ...
"""
URL = ("--url", "sqlite:///jobs.db")


@pytest.fixture
def shop(program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    engine = open_engine(f"sqlite:///{program.folder}/jobs.db")
    mail = [NewJob("shop.send_email", b'{"text":"%d"}' % number, tags=("tenant:42",)) for number in range(3)]
    engine.put_many([*mail, NewJob("shop.other", b"{}")])
    engine.close()
    return program


def test_filters_and_a_dry_run(shop: Program) -> None:
    assert shop.run("jobs", "discard", *URL, "--task", "send_email", "--dry-run").out.startswith(
        "3 jobs; with --dry-run"
    )
    assert shop.run("jobs", "discard", *URL, "--tag", "tenant:42", "--reason", "no").out == "3 jobs discarded\n"
    wanted = ("--state", "discarded", "--task", "send_email", "--ended-within", "1h", "--older-than", "0")
    assert shop.run("jobs", "retry", *URL, *wanted, "--dry-run", "--json").results == [
        {"found": 3, "changed": 0, "asked": 0, "conflicts": [], "dry_run": True}
    ]
    assert shop.run("jobs", "retry", *URL, *wanted).out == "3 jobs available\n"
    assert len(shop.run("jobs", "list", *URL, "--tag", "tenant:42", "--json").results) == 3
    assert shop.run("jobs", "cancel", *URL, "--all").out == "4 jobs cancelled\n"


def test_who_ran_it_and_the_error_type(shop: Program) -> None:
    shop.run("work", "shop:queue", "--kind", "thread", "--until-empty", "--name", "wilma")
    [first, *_] = shop.run("jobs", "list", *URL, "--error", "ValueError", "--limit", "1", "--json").results
    shown = shop.run("jobs", "show", first["id"], *URL).out
    assert "attempt 1 on wilma, begun 20" in shown and 'tags           ["tenant:42"]' in shown
    assert first["worker"] == "wilma" and first["last_error"]["worker"] == "wilma"


@pytest.mark.parametrize("command", ["retry", "cancel", "discard"])
@pytest.mark.parametrize(
    "words", [(), ("job-1", "--task", "x"), ("--all", "--task", "x"), ("job-1", "--all"), ("job-1", "--dry-run")]
)
def test_what_is_meant_is_said_once(command: str, words: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(jobs_group, [command, *URL, *words])
    assert refused.exit_code == 2
    assert "one of these three" in refused.output or "not ids" in refused.output
