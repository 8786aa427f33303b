"""``steadypool work``, ``enqueue``, ``jobs`` and ``migrate``."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from pathlib import Path

import pytest

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug
from tests.cli.program import Program
from tests.patience import WAIT

APP = """
    from datetime import datetime
    from steadypool import Queue, Retry
    queue = Queue("sqlite:///jobs.db")
    @queue.task(retry=Retry(2, backoff=0.01))
    def divide(one: int, other: int) -> float:
        return one / other
    @queue.task
    def when(at: datetime) -> datetime:
        return at
"""


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    """A folder with a program that has a queue."""
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


URL = ("--url", "sqlite:///jobs.db")


def test_enqueue_work_and_look(shop: Program) -> None:
    for arguments in ("[6, 2]", '{"one": 1, "other": 0}'):
        assert shop.run("enqueue", "shop:divide", arguments).code == 0
    assert (
        shop.run("enqueue", "shop:when", '["2026-01-01T00:00:00Z"]', "--id", "then", "--delay", "3600").out == "then\n"
    )
    worked = shop.run("work", "shop:queue", "--kind", "thread", "--workers", "2", "--until-empty", "--report", "r.json")
    assert worked.code == 0, worked.err
    assert "3 claimed, 1 completed" in worked.err and "ZeroDivisionError" in worked.err
    assert json.loads((shop.folder / "r.json").read_text())["discarded"] == 1
    listed = shop.run("jobs", "list", *URL, "--json").results
    assert [(row["id"][:5], row["state"]) for row in listed] == [
        ("then", "scheduled"),
        ("job-2", "discarded"),
        ("job-1", "completed"),
    ]
    assert [row["result"] for row in listed] == [None, None, 3.0]
    table = shop.run("jobs", "list", *URL, "--state", "discarded").out
    assert "job-2" in table and "shop.divide" in table and "job-1" not in table
    shown = shop.run("jobs", "show", "job-2", *URL).out
    assert shown.count("ZeroDivisionError: division by zero") >= 2 and "attempt 2" in shown
    [record] = shop.run("jobs", "show", "job-2", *URL, "--json").results
    assert record["payload"] == {"one": 1, "other": 0} and len(record["errors"]) == 2


def test_changing_jobs(shop: Program) -> None:
    for _ in range(2):
        shop.run("enqueue", "shop:divide", "[6, 2]")
    assert shop.run("jobs", "cancel", "job-1", *URL).out == "job-1 cancelled\n"
    again = shop.run("jobs", "cancel", "job-1", "job-9", *URL)
    assert again.code == 1 and "has ended already" in again.err and "'job-9'" in again.err
    assert shop.run("jobs", "discard", "job-2", *URL, "--reason", "no use").code == 0
    assert shop.run("jobs", "retry", "job-1", "job-2", *URL).out == "job-1 available\njob-2 available\n"
    cancelled = shop.run("jobs", "cancel", "job-1", "job-9", *URL, "--json")
    assert cancelled.code == 1 and not cancelled.err
    done, unknown = cancelled.results
    assert done == {"id": "job-1", "done": "cancelled", "error": None}
    assert (unknown["id"], unknown["done"]) == ("job-9", None) and "'job-9'" in unknown["error"]
    assert shop.run("jobs", "retry", "job-1", *URL, "--json").code == 0
    assert shop.run("jobs", "pause", *URL).code == 0
    stats = shop.run("jobs", "stats", *URL, "--json").results[0]["queues"][0]
    assert stats["paused"] and stats["available"] == 2
    assert "default (paused)" in shop.run("jobs", "stats", *URL).out
    assert shop.run("jobs", "resume", *URL).code == 0


def test_enqueue_can_wait_for_the_result(shop: Program) -> None:
    worker = shop.start("work", "shop:queue", "--kind", "thread", "--quiet")
    assert shop.run("enqueue", "shop:divide", "[6, 4]", "--wait", "20").out.endswith("\n1.5\n")
    failed = shop.run("enqueue", "shop:divide", "[6, 0]", "--wait", "20")
    assert failed.code == 1 and "division by zero" in failed.err
    worker.terminate()
    assert worker.wait(WAIT) == 0


def test_a_worker_is_seen_from_outside(shop: Program, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    worker = shop.start("work", "shop:queue", "--kind", "thread", "--workers", "3", "--queue", "default", env=env)
    assert shop.run("enqueue", "shop:divide", "[6, 4]", "--wait", "20").code == 0
    seen = shop.run("top", str(worker.pid), "--once", "--json", "--interval", "0.1", env=env)
    assert seen.code == 0, seen.err
    [pool] = json.loads(seen.out)["pools"]
    assert pool["stats"]["max_workers"] == 3 and "shop:queue default" in seen.out
    worker.terminate()
    worker.communicate(timeout=WAIT)


@pytest.mark.skipif(not has_wal_reset_bug(sqlite3.sqlite_version_info), reason="this SQLite does not have the bug")
def test_a_library_that_can_damage_the_file_is_told_of_once(shop: Program) -> None:
    says = f"note: SQLite {sqlite3.sqlite_version} can damage a file"
    work = ("work", "shop:queue", "--kind", "thread", "--until-empty")
    assert says in shop.run(*work).err
    assert says not in shop.run(*work).err and says not in shop.run("migrate", URL[1]).err
    assert says in shop.run("migrate", "sqlite:///other.db").err


def test_migrating(shop: Program) -> None:
    url = URL[1]
    assert "CREATE TABLE jobs" in shop.run("migrate", url, "--show").out
    assert not (shop.folder / "jobs.db").exists()
    assert shop.run("migrate", url, "--check").code == 1
    assert "from version 0 to " in shop.run("migrate", url).out
    assert shop.run("migrate", url, "--check").code == 0
    assert "nothing to do" in shop.run("migrate", url).out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("work", "shop:divide"), "did you mean the queue of it, shop:queue?"),
        (("work", "shop:nothing"), "has no 'nothing'"),
        (("work", "shop"), "'shop' is not of the form MODULE:QUEUE; for example shop:queue"),
        (("enqueue", "shop"), "'shop' is not of the form MODULE:TASK; for example shop:send_email"),
        (("work", "shop:queue", "--workers", "1000000"), "is too many: --kind thread has 10,000 at most"),
        (("work", "shop:queue", "--kind", "process", "--workers", "1000000"), "--kind process has 1,000 at most"),
        (("--url", "sqlite:///jobs.db", "jobs", "list"), "--url stands behind the command: steadypool jobs list --url"),
        (("enqueue", "shop:queue"), "is no durable task"),
        (("enqueue", "shop:divide", "[1]"), "`other`"),
        (("enqueue", "shop:divide", '[1, "x"]'), "Expected `int`"),
        (("enqueue", "shop:divide", "[1"), "not JSON"),
        (("jobs", "list"), "which queue? give --url"),
        (("jobs", "list", "--url", "jobs.db"), "did you mean sqlite:///jobs.db?"),
        (("jobs", "list", "--url", "sqlite:///none.db"), "there is no queue at"),
        (("migrate", "sqlite:///no/folder/jobs.db"), "there is no folder"),
    ],
)
def test_mistakes_are_one_line(shop: Program, arguments: tuple[str, ...], says: str) -> None:
    ended = shop.run(*arguments)
    assert ended.code == 2 and says in ended.err and "Traceback" not in ended.err


def test_cancelling_a_job_that_runs_says_that_it_was_asked_to_stop(shop: Program) -> None:
    shop.run("enqueue", "shop:divide", "[6, 2]")
    engine = open_engine(f"sqlite:///{shop.folder}/jobs.db")
    engine.claim(engine.register("somebody", 60.0), ["default"], 1)  # and holds it
    engine.close()
    assert shop.run("jobs", "cancel", "job-1", *URL).out == "job-1 runs, and was asked to stop\n"
    assert shop.run("jobs", "cancel", "job-1", *URL, "--json").results[0]["done"] == "runs, and was asked to stop"


def test_an_address_before_the_command_of_jobs(shop: Program) -> None:
    shop.run("enqueue", "shop:divide", "[6, 2]")
    other = {"STEADYPOOL_URL": "sqlite:///other.db"}
    assert "shop.divide" in shop.run("jobs", *URL, "list", env=other).out
    nearer = shop.run("jobs", "--url", "sqlite:///other.db", "list", *URL, env=other)
    assert "shop.divide" in nearer.out, "what stands nearer wins"
    assert "there is no queue at" in shop.run("jobs", "list", env=other).err
