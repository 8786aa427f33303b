"""``steadypool schedules``: what is shown, checked and changed."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests.cli.program import Program

APP = """
    from steadypool import Cron, Every, Queue
    queue = Queue("sqlite:///jobs.db")

    @queue.task(timeout=600, schedule=Cron("30 2 * * *", tz="Europe/Berlin"))
    def nightly() -> None: ...

    @queue.task(schedule=[Cron("*/15 * * * *", missed="skip"), Every(hours=6, name="deep", args={"deep": True})])
    def reindex(deep: bool = False) -> None: ...
"""
URL = ("--url", "sqlite:///jobs.db")


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


def test_what_a_worker_has_declared_is_shown(shop: Program) -> None:
    shop.run("migrate", "sqlite:///jobs.db")
    assert shop.run("schedules", "list", *URL).out == "no schedules\n"
    assert shop.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    shown = shop.run("schedules", *URL, "list").out
    for text in ("deep", "shop.nightly", "30 2 * * * Europe/Berlin", "every 6:00:00 UTC", "active"):
        assert text in shown


def test_those_that_are_paused_are_resumed(shop: Program) -> None:
    assert shop.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    assert shop.run("schedules", "pause", "nightly", "deep", *URL).out == "nightly is paused\ndeep is paused\n"
    assert "paused" in shop.run("schedules", "show", "nightly", *URL).out
    [row] = [json.loads(line) for line in shop.run("schedules", "list", "--json", *URL).out.splitlines()][:1]
    assert (row["name"], row["state"], row["definition"]["every"]) == ("deep", "paused", 21600.0)
    assert shop.run("schedules", "resume", "nightly", *URL).out == "nightly is resumed\n"


def test_one_is_put_now_looked_ahead_at_and_removed(shop: Program) -> None:
    assert shop.run("work", "shop:queue", "--until-empty", "--kind", "thread").code == 0
    put = shop.run("schedules", "run", "nightly", *URL).out
    job_id = put.removeprefix("nightly has put ").rstrip()
    assert "schedule       shop.nightly, for " in shop.run("jobs", "show", job_id, *URL).out
    ticks = shop.run("schedules", "next", "nightly", "-n", "3", *URL).out.splitlines()
    assert len(ticks) == 3 and all("02:30:00+0" in tick or "03:00:00+02" in tick for tick in ticks)
    assert shop.run("schedules", "remove", "deep", *URL).out == "deep is removed\n"


def test_one_that_is_not_there_is_said_and_the_others_are_changed(shop: Program) -> None:
    shop.run("work", "shop:queue", "--until-empty", "--kind", "thread")
    done = shop.run("schedules", "pause", "nihgtly", "deep", *URL)
    assert (done.code, done.out) == (1, "deep is paused\n")
    assert "there is no schedule 'nihgtly'; did you mean 'nightly'?" in done.err
    assert shop.run("schedules", "show", "none", *URL).code == 2


def test_check_says_what_is_declared_and_warns_of_overlap(shop: Program) -> None:
    done = shop.run("schedules", "check", "shop:queue", "-n", "1")
    assert done.code == 0 and done.out.count("next ") == 3 and not (shop.folder / "jobs.db").exists()
    assert "warning: shop.reindex: its jobs may overlap: no timeout, and a tick each 0:15:00" in done.err
    assert "nightly" not in done.err


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ('Cron("61 * * * *")', "minute '61' of '61 * * * *' does not fit: 0-59"),
        ('Cron("0 0 30 2 *")', "day-of-month '30' of '0 0 30 2 *' does not fit"),
        ('Cron("* * * * *", tz="Mars/Base")', "tz: there is no zone 'Mars/Base'"),
        ("[Cron('@daily'), Every(hours=1)]", "has two schedules without a name"),
        ('Every(hours=6, args={"depth": 3})', "cannot be called with args={'depth': 3}"),
    ],
)
def test_a_mistake_is_an_error_at_import_that_names_the_field(shop: Program, schedule: str, says: str) -> None:
    (shop.folder / "bad.py").write_text(
        "from steadypool import Cron, Every, Queue\nqueue = Queue('sqlite:///jobs.db')\n"
        f"@queue.task(schedule={schedule})\ndef task() -> None: ...\n"
    )
    for command in (("schedules", "check", "bad:queue"), ("work", "bad:queue")):
        done = shop.run(*command)
        assert done.code == 2 and says in done.err


def test_arguments_that_cannot_be_stored_are_said_before_anything_runs(shop: Program) -> None:
    (shop.folder / "bad.py").write_text(
        "from steadypool import Cron, Queue\nqueue = Queue('sqlite:///jobs.db')\n"
        "@queue.task(schedule=Cron('@daily', args={'deep': 'yes'}))\ndef task(deep: bool) -> None: ...\n"
    )
    for command in (("schedules", "check", "bad:queue"), ("work", "bad:queue", "--until-empty")):
        done = shop.run(*command)
        assert done.code == 2 and "argument 'deep'" in done.err and "Traceback" not in done.err
