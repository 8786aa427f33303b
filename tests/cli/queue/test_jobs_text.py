"""What ``steadypool jobs`` shows of jobs and queues."""

from __future__ import annotations

import json
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steadypool.cli.queue.job_text import lines_of, reason_of
from steadypool.cli.queue.jobs import as_plain
from steadypool.cli.queue.output import moment
from steadypool.durable.engine.attempts import retries_of
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import SET_ASIDE, AttemptError, JobRecord, NewJob, WorkerRow
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.why_idle import Surroundings
from steadypool.model.quantities import length_text
from tests.cli.program import Program
from tests.cli.stage import Stage
from tests.patience import WAIT

APP = """
    import socket
    from steadypool import Queue, Retry, current_job
    queue = Queue("sqlite:///jobs.db")

    @queue.task(retry=Retry(2, backoff=600, jitter=False))
    def fail(text: str) -> None: raise ValueError(text)

    @queue.task
    def fail_at_once(text: str) -> None: raise ValueError(text)

    @queue.task
    def on_stage(name: str) -> str:
        current_job().progress(3, 100)
        with socket.socket(socket.AF_UNIX) as stage:
            stage.connect("stage")
            stage.sendall(name.encode() + b"\\n")
            return stage.makefile().readline().rstrip()

    @queue.task
    async def on_stage_async(name: str) -> str:
        import asyncio
        current_job().progress(3, 100)
        reader, writer = await asyncio.open_unix_connection("stage")
        writer.write(name.encode() + b"\\n")
        return (await reader.readline()).decode().rstrip()
"""
URL = ("--url", "sqlite:///jobs.db")


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


def test_control_characters_are_written_out(shop: Program) -> None:
    shop.run("enqueue", "shop:fail", json.dumps(["\x1b[2J\u202e日本"]), "--id", "id\x1b[31m")
    for command in (("list",), ("show", "id\x1b[31m"), ("cancel", "id\x1b[31m")):
        shown = shop.run("jobs", *command, *URL)
        assert shown.code == 0 and "id\\x1b[31m" in shown.out
        assert "\x1b" not in shown.out and "\u202e" not in shown.out
    assert "日本" in shop.run("jobs", "list", *URL).out
    plain = shop.run("jobs", "list", *URL, env={"PYTHONIOENCODING": "ascii"})
    assert plain.code == 0 and "\\u65e5\\u672c" in plain.out
    [row] = shop.run("jobs", "list", *URL, "--json").results
    assert row["id"] == "id\x1b[31m", "a program gets it as it is"


def test_when_it_is_due_and_why_it_failed(shop: Program) -> None:
    shop.run("enqueue", "shop:fail", '["no route"]')
    shop.run("enqueue", "shop:fail", '["x"]', "--delay", "3600")
    worker = shop.start("work", "shop:queue", "--kind", "thread")
    for line in worker.stderr or ():
        if "it is retried in" in line:
            break
    listed = wait_for(shop, "retryable")
    assert "ValueError: no route" in listed and "due in 9 min" in listed and "due in 59 min" in listed
    rows = shop.run("jobs", "list", *URL, "--json").results
    assert rows[-1]["last_error"]["message"] == "no route" and "errors" not in rows[-1]
    worker.terminate()
    assert worker.wait(WAIT) == 0


@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_since_when_where_and_how_far_it_runs(shop: Program, stage: Stage, kind: str) -> None:
    task = "shop:on_stage_async" if kind == "async" else "shop:on_stage"
    job = shop.run("enqueue", task, '["here"]').out.strip()
    worker = shop.start("work", "shop:queue", "--kind", kind, "--name", "some-worker")
    actor = stage.enter()
    assert " on some-worker, at 3 of 100 (3 %)" in wait_for(shop, "3 of 100")
    shown = shop.run("jobs", "show", job, *URL).out
    assert "worker         some-worker" in shown and "progress       3 of 100 (3 %)" in shown
    assert "running_since" in shown and " ago)" in shown
    actor.tell("return")
    worker.terminate()
    assert worker.wait(WAIT) == 0


def wait_for(shop: Program, text: str) -> str:
    """The list of jobs, once it has *text* in it: a report of progress takes up to two seconds."""
    for _ in range(40):
        listed: Any = shop.run("jobs", "list", *URL).out
        if text in listed:
            return str(listed)
    raise AssertionError(listed)


def test_how_many_of_how_many(shop: Program) -> None:
    for _ in range(3):
        shop.run("enqueue", "shop:fail", '["x"]')
    assert "2 of 3 jobs are shown; --limit shows more\n" in shop.run("jobs", "list", *URL, "--limit", "2").out
    assert "are shown" not in shop.run("jobs", "list", *URL).out
    assert len(shop.run("jobs", "list", *URL, "--limit", "2", "--json").results) == 2
    by_task = shop.run("jobs", "list", *URL, "--limit", "2", "--task", "shop.fail").out
    assert "the latest 2 jobs are shown; --limit shows more\n" in by_task


def test_pause_and_resume_say_what_they_did(shop: Program) -> None:
    shop.run("enqueue", "shop:fail", '["x"]')
    assert shop.run("jobs", "pause", *URL).out.startswith(
        "default is paused: nothing is claimed from it any more; 1 ava"
    )
    assert shop.run("jobs", "pause", *URL).out.startswith("default was paused before; 1 available")
    assert shop.run("jobs", "resume", *URL).out == "default is resumed; 1 available\n"
    assert shop.run("jobs", "resume", *URL).out == "default was not paused; 1 available\n"
    assert "no job is in it now; is that its name?" in shop.run("jobs", "pause", "typo", *URL).out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (90, "90 s"), (185, "3 min"), (7300, "2 h"), (90_000, "25 h"), (200_000, "2 d")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert length_text(seconds) == text


def test_the_line_of_an_attempt_whose_worker_died() -> None:
    lost = AttemptError(1, "lost", "", "its worker died", "", at=100.0, started_at=40.0, worker="vm")
    record = JobRecord(1, 2, "job-1", "t", "q", JobState.DISCARDED, 0, 1, 0, 1, 0.0, payload=b"[7]", errors=(lost,))
    lines = list(lines_of(record, 160.0))
    assert "arguments      [7]" in lines and not any("payload" in line for line in lines)
    begun, ended = moment(40.0, 160.0), moment(100.0, 160.0)
    assert lines[-1] == f"\nattempt 1 on vm, begun {begun}, ended {ended}: lost: its worker died"


def test_what_a_job_has_saved() -> None:
    record = JobRecord(
        1, 2, "job-1", "t", "q", JobState.RUNNING, 0, 1, 0, 0, 0.0, checkpoint=b'{"row":7}', saved_at=9.0
    )
    lines = list(lines_of(record, 10.0))
    assert 'checkpoint     {"row":7}' in lines and f"saved_at       {moment(9.0, 10.0)}" in lines
    assert as_plain(record)["checkpoint"] == {"row": 7} and as_plain(record)["saved_at"] == 9.0
    assert "checkpoint" not in as_plain(record, errors=False), "a list does not read it"


def test_why_it_waits(shop: Program) -> None:
    job = shop.run("enqueue", "shop:fail", '["x"]').out.strip()
    assert "note           No worker is at work.\n" in shop.run("jobs", "show", job, *URL).out
    shop.run("jobs", "pause", *URL)
    assert "note           Its queue, default, is paused.\n" in shop.run("jobs", "show", job, *URL).out
    assert "payload" in shop.run("jobs", "show", job, *URL, "--json").results[0]


def test_a_queue_that_no_worker_serves(shop: Program) -> None:
    job = shop.run("enqueue", "shop:fail", '["x"]', "--queue", "mail").out.strip()
    with closing(open_engine(f"sqlite:///{shop.folder}/jobs.db")) as engine:
        engine.register("one", 60.0, ["default", "pdf"])
        stats = shop.run("jobs", "stats", *URL).out
        assert " default, pdf " in stats and stats.endswith("\nno worker serves queue mail, and jobs wait there\n")
        [plain] = shop.run("jobs", "stats", *URL, "--json").results
        assert plain["unserved"] == ["mail"] and plain["workers"][0]["queues"] == ["default", "pdf"]
        assert "note           No worker serves queue mail.\n" in shop.run("jobs", "show", job, *URL).out
        engine.register("of an older release", 60.0)
        stats = shop.run("jobs", "stats", *URL).out
        assert "not known" in stats and "no worker serves" not in stats


def test_the_reason_of_each_job_is_in_the_list(shop: Program) -> None:
    first = shop.run("enqueue", "shop:fail", '["x"]', "--queue", "mail").out.strip()
    with closing(open_engine(f"sqlite:///{shop.folder}/jobs.db")) as engine:
        engine.put_many([NewJob("shop.renamed", b"{}", after=(first,)), NewJob("shop.renamed", b"{}", id="here")])
        engine.register("one", 60.0, ["default"], ["shop.fail"])
        _, *rows = shop.run("jobs", "list", *URL, env={"COLUMNS": "300"}).out.splitlines()
        assert [row.rstrip().rpartition("  ")[2] for row in rows] == [
            "no worker at work knows task shop.renamed",
            f"waits for {first}",
            "no worker serves queue mail",
        ]
        engine.cancel_chosen("here")
        again = shop.run("jobs", "retry", "here", *URL)
        assert (again.code, again.out) == (0, "here available\n")
        warning = "warning: no worker at work knows task shop.renamed; its jobs wait for one that does\n"
        assert again.err == warning
        engine.cancel_chosen("here")
        again = shop.run("jobs", "retry", "--task", "renamed", "--state", "cancelled", *URL)
        assert (again.out, again.err) == ("1 jobs available\n", warning)


AROUND = Surroundings((WorkerRow("w", True, 0, 0.0, ("q",)),), frozenset({"still"}), frozenset())
ERROR = AttemptError(1, "failed", "ValueError", "no route\nto it")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"queue": "still"}, "its queue, still, is paused"),
        ({"held_by": "limit stripe: 5 of 5 running"}, "held back by limit stripe: 5 of 5 running"),
        ({"queue": "mail", "last_error": ERROR}, "no worker serves queue mail"),
        ({"last_error": ERROR}, "ValueError: no route"),
        ({"state": JobState.RETRYABLE, "last_error": ERROR}, "ValueError: no route"),
        ({"state": JobState.SCHEDULED, "reason": SET_ASIDE}, "no worker so far has known its task"),
        ({"state": JobState.SCHEDULED, "queue": "mail"}, ""),
        ({"state": JobState.CANCELLED, "reason": "needed job-7"}, "needed job-7"),
        ({"state": JobState.COMPLETED, "last_error": ERROR}, ""),
        ({"state": JobState.WAITING}, "waits for job-12"),
    ],
)
def test_the_reason_of_a_job_in_a_few_words(facts: dict[str, Any], reason: str) -> None:
    record = JobRecord(1, 2, "job-1", "t", "q", JobState.AVAILABLE, 0, 1, 0, 1, 0.0)
    assert reason_of(replace(record, **facts), AROUND, "job-12") == reason


def test_an_attempt_after_a_retry_by_hand() -> None:
    numbers = (1, 2, 1, 1)
    errors = tuple(AttemptError(number, "failed", "E", "", at=9.0 + place) for place, number in enumerate(numbers))
    unfit = AttemptError(1, "returned", "ArgumentsUnfit", "", at=20.0)
    record = JobRecord(1, 2, "job-1", "t", "q", JobState.RUNNING, 0, 2, 0, 1, 0.0, errors=(*errors, unfit))
    heads = [line.strip().partition(",")[0] for line in lines_of(record, 30.0) if "attempt" in line]
    after = "after retry by hand", "after 2 retries by hand"
    assert heads == [
        f"attempt        2 ({after[1]})",
        *("attempt 1", "attempt 2", f"attempt 1 ({after[0]})", f"attempt 1 ({after[1]})", f"attempt 1 ({after[1]})"),
    ]
    assert retries_of(replace(record, errors=errors[:1])) == 0
    assert retries_of(replace(record, errors=errors[:2])) == 1, "the second attempt runs, and one has failed before"
    waits = replace(record, state=JobState.RETRYABLE, errors=errors[:2])
    assert retries_of(waits) == 0 and retries_of(replace(waits, attempt=0)) == 1


def test_moments() -> None:
    assert moment(0.0, 7300.0).endswith("(2 h ago)") and moment(7300.0, 0.0).endswith("(in 2 h)")


def test_what_a_job_says_to_the_one_who_waits(shop: Program) -> None:
    worker = shop.start("work", "shop:queue", "--kind", "thread", "--quiet")
    failed = shop.run("enqueue", "shop:fail_at_once", json.dumps(["\x1b[2J"]), "--wait", "20")
    assert failed.code == 1 and "\x1b" not in failed.err and "\\x1b[2J" in failed.err
    worker.terminate()
    assert worker.wait(WAIT) == 0


def test_a_bare_number_is_no_id_and_is_not_shown(shop: Program) -> None:
    job_id = shop.run("enqueue", "shop:fail", '["x"]').out.strip()
    number = job_id.split("-")[1]
    shown = shop.run("jobs", "show", job_id, *URL).out
    assert shown.startswith("id  ") and job_id in shown and "number" not in shown
    mistake = shop.run("jobs", "show", number, *URL)
    assert mistake.code == 2 and mistake.err.endswith(f"; did you mean 'job-{number}'?\n")
    assert job_id in shop.run("jobs", "show", f"job-{number}", *URL).out
