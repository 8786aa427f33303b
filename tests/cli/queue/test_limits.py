"""``steadypool limits``: what is shown and set."""

from __future__ import annotations

import json
import textwrap

from tests.cli.program import Program

APP = """
    from steadypool import Limit, Queue
    queue = Queue("sqlite:///jobs.db")
    stripe = queue.limit("stripe", running=5, starts=100, per=60)

    @queue.task(limit=[stripe, Limit(running=3, by="tenant")])
    def sync(tenant: int) -> None: ...
"""
URL = ("--url", "sqlite:///jobs.db")


def test_limits_are_shown_set_and_reset(program: Program) -> None:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    assert program.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    assert program.run("limits", "set", "stripe", "--running", "2", "--per", "1m", *URL).out == "stripe is set\n"
    assert program.run("limits", "set", "sync", "--key", "42", "--running", "1", *URL).out == "sync, key '42', is set\n"
    shown = program.run("limits", *URL, "list").out
    for text in ("shop.sync", "stripe", "100 in 60 s", "wait", "code", "hand"):
        assert text in shown
    rows = [json.loads(line) for line in program.run("limits", "list", "--json", *URL).out.splitlines()]
    assert [(row["name"], row["key"], row["running"], row["by_hand"]) for row in rows] == [
        ("shop.sync", None, 3, False), ("shop.sync", "42", 1, True), ("stripe", None, 2, True)
    ]  # fmt: skip
    assert program.run("limits", "reset", "stripe", *URL).out == "stripe is reset\n"
    mistake = program.run("limits", "set", "strip", "--running", "2", *URL)
    assert (mistake.code, mistake.err) == (2, "Error: there is no limit 'strip'; did you mean 'stripe'?\n")
    mistake = program.run("limits", "set", "other", "--running", "2", *URL)
    assert (mistake.code, mistake.err) == (2, "Error: there is no limit 'other'; there are shop.sync, stripe\n")
    mistake = program.run("limits", "set", "stripe", *URL)
    assert (mistake.code, mistake.err) == (
        2,
        "Error: limits set needs something to set: --running, --starts with --per, or --burst; as in limits set stripe "
        "--running 2\n",
    )


def test_before_the_first_worker_there_are_none(program: Program) -> None:
    assert program.run("migrate", URL[1]).code == 0
    said = "a worker declares those of its tasks when it starts"
    assert program.run("limits", "list", *URL).out == f"no limits: {said}\n"
    mistake = program.run("limits", "set", "stripe", "--running", "2", *URL)
    assert mistake.err == f"Error: there is no limit 'stripe'; there are none so far: {said}\n"


def test_a_job_is_shown_with_its_limits_before_and_after_it_has_ended(program: Program) -> None:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    job_id = program.run("enqueue", "shop:sync", "[42]").out.strip()
    limits = "limits         shop.sync, key '42', stripe\n"
    assert limits in program.run("jobs", "show", job_id, *URL).out
    assert program.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    shown = program.run("jobs", "show", job_id, *URL).out
    assert "completed" in shown and limits in shown
