"""What ``steadypool work`` logs while it works, of its jobs and for them."""

from __future__ import annotations

import json
import re
import socket
import textwrap
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cli.program import Program
from tests.patience import WAIT

APP = """
    import logging, os
    from steadypool import Queue, Retry
    queue = Queue("sqlite:///jobs.db")

    @queue.task(retry=Retry(2, backoff=0.01))
    def charge(text: str) -> None:
        logging.getLogger("shop").info("charging %s", text)
        raise RuntimeError(f"declined: {text}")

    @queue.task(name="charge_async")
    async def charge_async(text: str) -> None:
        logging.getLogger("shop").info("charging %s", text)
        raise RuntimeError(f"declined: {text}")

    @queue.task
    def die() -> None:
        os._exit(3)

    @queue.task(total_timeout=0.001)
    def late() -> None: ...
"""
KINDS = pytest.mark.parametrize("kind", ["process", "thread", "async"])


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


def work(shop: Program, *options: str, module: str = "shop") -> str:
    """Work until nothing is left; returns what was said."""
    kind = () if "--kind" in options else ("--kind", "process")
    ended = shop.run("work", f"{module}:queue", "--workers", "1", "--until-empty", *kind, *options)
    assert ended.code == 0, ended.err
    return re.sub(r"(job-\d+)-[0-9a-f]{10}", r"\1", ended.err)  # the half of an id that is random


def lines_of(said: str, text: str) -> list[str]:
    return [line for line in said.splitlines() if text in line]


@KINDS
def test_each_failed_attempt_and_each_discard_is_a_line(shop: Program, kind: str) -> None:
    shop.run("enqueue", "shop:charge_async" if kind == "async" else "shop:charge", '["7"]')
    said = work(shop, "--kind", kind)
    place = "RuntimeError: declined: 7 at"
    *retried, discarded = lines_of(said, place)
    assert len(retried) == (0 if kind == "async" else 1)
    for line in retried:
        assert " INFO steadypool: job job-1 (shop.charge) failed in attempt 1: " in line
        assert "shop.py:9 in charge; it is retried in 0.0 s" in line
    assert " ERROR steadypool: job job-1 (" in discarded and discarded.endswith("; it is discarded: no retry is left")
    assert lines_of(said, " INFO shop: [job-1] charging 7"), "what the job's own code logs comes through"


def test_a_worker_that_is_ready_says_what_it_serves(shop: Program) -> None:
    served = "4 tasks of queues mail=4, default: charge_async, shop.charge, shop.die, shop.late"
    options = ("--kind", "thread", "--workers", "5", "--queue", "mail=4", "--queue", "default")
    [line] = lines_of(work(shop, *options), "serves")
    assert line.endswith(f" INFO steadypool: it serves {served}")
    [line] = lines_of(work(shop, "--kind", "thread", "--log-format", "json"), "serves")
    assert json.loads(line)["queues"] == ["default"] and "shop.late" in json.loads(line)["tasks"]


def test_they_are_said_at_once(shop: Program) -> None:
    worker = shop.start("work", "shop:queue", "--kind", "thread")
    shop.run("enqueue", "shop:charge", '["7"]')
    for line in worker.stderr or ():
        if "it is discarded" in line:
            break
    else:
        pytest.fail("it was not said while the worker worked")
    worker.kill()
    worker.wait()


def test_a_death_and_a_job_that_came_too_late(shop: Program) -> None:
    shop.run("enqueue", "shop:die")
    shop.run("enqueue", "shop:late")
    said = work(shop, "--max-crashes", "1")
    assert "job job-1 (shop.die) crashed in attempt 1: steadypool.WorkerCrashed: " in said
    assert "; it is discarded: its process died 1 times" in said
    assert "job job-2 (shop.late) timed out in attempt 1: " in said
    assert "; it is discarded: its total_timeout passed" in said


@KINDS
def test_as_json(shop: Program, kind: str) -> None:
    task = "shop:charge_async" if kind == "async" else "shop:charge"
    shop.run("enqueue", task, json.dumps(["\x1b[2J two\nlines"]))
    lines: list[Any] = [json.loads(line) for line in work(shop, "--kind", kind, "--log-format", "json").splitlines()]
    [given_up] = [line for line in lines if line.get("kind") == "JobGivenUp"]
    assert (given_up["level"], given_up["logger"], given_up["queue"]) == ("error", "steadypool", "default")
    assert (given_up["job_id"], given_up["error_type"]) == ("job-1", "RuntimeError")
    assert given_up["error_message"] == "declined: \x1b[2J two", "a program gets it as it is"
    assert "in charge" in given_up["traceback"] and given_up["reason"] == "no retry is left"
    [charging, *_] = [line for line in lines if line["logger"] == "shop"]
    assert (charging["job_id"], charging["message"]) == ("job-1", "charging \x1b[2J two\nlines")
    assert lines[-1]["kind"] == "WorkReport" and lines[-1]["report"]["discarded"] == 1


def test_control_characters_of_a_job_do_not_reach_the_terminal(shop: Program) -> None:
    shop.run("enqueue", "shop:charge", json.dumps(["\x1b[2J\u202e\nforged"]), "--id", "id\x1b[31m")
    said = work(shop, "--kind", "thread")
    assert "\x1b" not in said and "\u202e" not in said
    assert "job id\\x1b[31m (shop.charge) failed in attempt 1: RuntimeError: declined: \\x1b[2J\\u202e at" in said
    assert not [line for line in said.splitlines() if line.startswith("forged")]


def test_levels(shop: Program) -> None:
    shop.run("enqueue", "shop:charge", '["7"]')
    quiet = work(shop, "--kind", "thread", "--quiet")
    assert quiet.count("\n") == 1 and "it is discarded" in quiet
    shop.run("enqueue", "shop:charge", '["8"]')
    full = work(shop, "--kind", "thread", "--log-level", "debug")
    assert "DEBUG steadypool: job job-2 (shop.charge) started on " in full
    assert "    Traceback (most recent call last):" in full


@KINDS
def test_what_the_program_has_set_up_stays_unless_a_format_is_given(shop: Program, kind: str) -> None:
    own = "import logging\nlogging.basicConfig(format='own %(message)s', level='INFO')\nfrom shop import *\n"
    (shop.folder / "own.py").write_text(own)
    task = "own:charge_async" if kind == "async" else "own:charge"
    shop.run("enqueue", task, '["7"]')
    said = work(shop, "--kind", kind, module="own")
    assert lines_of(said, "own job job-1 (") and not lines_of(said, "ERROR steadypool")
    shop.run("enqueue", task, '["8"]')
    said = work(shop, "--kind", kind, "--log-format", "text", module="own")
    assert "shop: [job-2] charging 8" in said and not [line for line in said.splitlines() if line[:4] == "own "]


def test_what_a_logger_shows_by_itself_is_not_shown_twice(shop: Program) -> None:
    """So does Django's in development."""
    own = """
        import logging
        shown = logging.StreamHandler()
        shown.setFormatter(logging.Formatter("own %(message)s"))
        logging.getLogger("shop").addHandler(shown)
        from shop import *
    """
    (shop.folder / "own.py").write_text(textwrap.dedent(own))
    shop.run("enqueue", "own:charge", '["7"]')
    said = work(shop, "--kind", "thread", module="own")
    assert set(lines_of(said, "charging")) == {"own charging 7"} and lines_of(said, "ERROR steadypool: job job-1")
    shop.run("enqueue", "own:charge", '["8"]')
    said = work(shop, "--kind", "thread", "--log-format", "json", module="own")
    assert "charging 8" in {json.loads(line)["message"] for line in said.splitlines()}


def test_the_status_is_served_where_it_is_told(shop: Program) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        taken.listen()
        refused = shop.run("work", "shop:queue", "--status-port", port)
        assert refused.code == 2 and refused.err.count("\n") == 1 and f"port {port}" in refused.err
    worker = shop.start(
        "work", "shop:queue", "--kind", "thread", "--status-port", "0"
    )  # a port that was free may not be
    for line in worker.stderr or ():
        if "is ready" in line:
            break
    [place] = [one.laddr for one in psutil.Process(worker.pid).net_connections("tcp") if one.status == "LISTEN"]
    assert place.ip == "127.0.0.1"
    for path in ("livez", "readyz", "metrics"):
        url = f"http://127.0.0.1:{place.port}/{path}"
        assert httpx.get(url, timeout=WAIT, trust_env=False, verify=False).status_code == 200
    worker.terminate()
    assert worker.wait(WAIT) == 0
