"""What the pages show, on both engines."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from steadypool import Cron, JobDiscarded, Queue, ThreadPool
from steadypool.contrib.web.charts import chart_of
from steadypool.contrib.web.pages.errors import place_in
from steadypool.durable.engine.errors import EngineError, EngineGone
from steadypool.durable.engine.figures import MinuteRow
from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.records import JobFilter
from tests.contrib.web.client import Client
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.working import Working
from tests.patience import WAIT
from tests.pools.contract.stage import Stage

every_engine = pytest.mark.every_engine


@every_engine
def test_an_empty_queue(client: Client) -> None:
    assert "No worker is at work" in client.get("/").text and "No job was put so far." in client.get("/").text
    assert "No jobs." in client.get("/jobs").text and "No jobs like that." in client.get("/jobs?task=x").text
    assert "No attempt has failed" in client.get("/errors").text
    assert "No worker is at work" in client.get("/workers").text
    assert "No worker has declared a schedule" in client.get("/schedules").text
    assert client.get("/job?id=job-5").status == client.get("/job").status == 404


@every_engine
def test_a_worker_and_what_it_has_done(client: Client, queue: Queue, stage: Stage) -> None:
    waits = app.add.options(delay=3600, queue="later", tags=("red",)).enqueue(1)
    failed = app.fail.enqueue()
    added = app.add.enqueue(1, 2)
    with Working(queue) as working:
        running = app.act.enqueue(stage.address)
        actor = stage.enter()
        assert added.result(WAIT) == 3
        with pytest.raises(JobDiscarded):
            failed.result(WAIT)
        page = client.get("/workers")
        assert working.worker.settings.name in page.text and "tests.durable.app.act" in page.text
        assert "lease over" not in client.get("/").text
        job = client.get(f"/job?id={running.job_id}").text
        assert "running" in job and "attempt 1 began" in job and working.worker.settings.name in job
        actor.tell("return")
        assert running.result(WAIT) == "actor"
    overview = client.get("/").text
    assert "1 scheduled" in overview and "later" in overview
    job = client.get(f"/job?id={added.job_id}").text
    assert "completed" in job and "Result 3" in job and "Ran for" in job
    job = client.get(f"/job?id={failed.job_id}")
    assert "discarded" in job.text and job.text.count("attempt 3 failed") == 1 and "ValueError: attempt 3" in job.text
    assert "Traceback (most recent call last)" in job.text and ("/do/retry", [("what", "job")]) in [
        (place, fields[:1]) for place, fields in job.forms()
    ]
    job = client.get(f"/job?id={waits.job_id}").text
    assert "scheduled" in job and "red" in job and "Due in" in job and "No worker is at work." in job
    errors = client.get("/errors").text
    assert "ValueError attempt 3" in errors and "app.py:" in errors and "in fail" in errors
    rows = {row.task.rpartition(".")[2]: row for row in queue.engine.figures.by_task(3600)}
    assert rows["fail"][2:5] == (0, 3, 1) and rows["add"][2:5] == (1, 0, 0)
    assert rows["act"].ran > 0.0 and rows["act"].completed == 1


@every_engine
def test_the_list_of_jobs(make_client: Callable[..., Client], queue: Queue) -> None:
    client = make_client(arguments="shown")
    ids = [app.add.options(delay=60 + n, tags=(f"t{n % 2}",)).enqueue(n).job_id for n in range(60)]
    page = client.get("/jobs")
    assert (
        ids[59] in page.text and ids[9] not in page.text and "scheduled 60" in page.text and '{"one":59}' in page.text
    )
    [older] = [link for link in page.links() if "below=" in link]
    page = client.get(older)
    assert ids[9] in page.text and ids[10] not in page.text and "Latest" in page.text
    page = client.get("/jobs?tag=t1&state=scheduled")
    assert ids[59] in page.text and ids[58] not in page.text and "scheduled 30" in page.text
    assert ids[7] in client.get("/jobs?argument=%22one%22:7%7D").text
    assert ids[0] in client.get("/jobs?age=put:3600&below=100000").text or len(ids) > 50
    assert "No jobs like that." in client.get("/jobs?age=older:3600").text
    for wrong in ("state=gone", "age=x", "age=put:-5", "age=put:x", "below=x", "below=-1", f"below={'9' * 30}"):
        assert client.get(f"/jobs?{wrong}").status == 400, wrong


@every_engine
def test_why_a_job_waits(client: Client, queue: Queue) -> None:
    job = app.add.enqueue(1).job_id
    queue.pause("default")
    text = client.get(f"/job?id={job}").text
    assert "Its queue, default, is paused." in text and "No worker is at work." in text


def test_a_queue_that_no_worker_serves(make_client: Callable[..., Client], queue: Queue) -> None:
    client = make_client()
    job = app.add.options(queue="mail").enqueue(1).job_id
    queue.engine.register("some-worker", 60.0, ["default", "pdf"])
    overview = client.get("/").text
    assert "No worker serves queue mail, and jobs wait there." in overview and "no worker serves it" in overview
    assert "no worker serves it" in client.get("/queues").text
    assert "default, pdf" in client.get("/workers").text
    assert "No worker serves queue mail." in client.get(f"/job?id={job}").text
    queue.engine.register("old", 60.0)
    later = make_client()  # which remembers nothing
    assert "not known" in later.get("/workers").text and "No worker serves" not in later.get(f"/job?id={job}").text


@every_engine
def test_a_job_whose_worker_is_gone(client: Client, queue: Queue) -> None:
    job, who = app.add.enqueue(1).job_id, queue.engine.register("some-worker", 60.0)
    queue.engine.claim(who, ["default"], 1)
    queue.engine.renew(who, -1.0)
    assert "Lease over: its worker, some-worker, is gone or cut off." in client.get(f"/job?id={job}").text


@every_engine
def test_what_a_job_waits_for(client: Client, queue: Queue) -> None:
    first = app.add.options(delay=60).enqueue(1)
    second = app.fail.options(after=[first], delay=60).enqueue()
    page = client.get(f"/job?id={second.job_id}")
    assert "Waits for" in page.text and first.job_id in page.text and "its success" in page.text
    assert second.job_id in client.get("/jobs?state=waiting").text and "1 wait for others" in client.get("/").text


@every_engine
def test_where_a_running_job_is(
    make_client: Callable[..., Client], queue: Queue, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Working(queue, pool={"monitor": True}):
        job = app.act.enqueue(stage.address)
        actor = stage.enter()
        for arguments in ("hidden", "shown"):
            page = make_client(arguments=arguments).get(f"/job?id={job.job_id}")
            assert "Where it is now" in page.text and "jobs.py" in page.text and "in act" in page.text
            assert (stage.address in page.html) == (arguments == "shown")
        actor.tell("return")
        job.result(WAIT)


@every_engine
def test_what_a_job_has_saved(make_client: Callable[..., Client], queue: Queue) -> None:
    job = app.add.enqueue(1)
    [claim] = queue.engine.claim(queue.engine.register("some-worker", 60.0), ["default"], 1).claims
    queue.engine.notes.save([Note(claim.number, claim.token, claim.lease, 1, b'{"row": 7}')])
    for arguments in ("hidden", "shown"):
        page = make_client(arguments=arguments).get(f"/job?id={job.job_id}")
        assert ("Checkpoint" in page.text) == ('"row": 7' in page.text) == (arguments == "shown")


@every_engine
def test_late_schedules_are_noticed(client: Client, queue: Queue) -> None:
    queue.schedules.put("nightly", app.add.call(1), Cron("*/5 * * * *"))
    assert "Late" not in client.get("/").text
    queue.engine.move_clock(3600)
    client = Client(client.dashboard)
    page = client.get("/schedules").text
    assert "late by" in page or "nightly" in page


def test_a_job_of_a_schedule(client: Client, queue: Queue) -> None:
    tick = datetime(2026, 11, 30, 9, tzinfo=UTC)
    from steadypool.durable.engine.records import NewJob, tick_id

    queue.engine.put_many([NewJob("app.work", b"{}", id=tick_id("nightly", tick), delay=60)])
    page = client.get(f"/job?id={tick_id('nightly', tick).replace(':', '%3A')}")
    assert "nightly, for 2026-11-30 09:00:00+00:00" in page.text


def test_pools_of_this_machine(client: Client, tmp_path: object) -> None:
    started, done = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        done.wait(WAIT)

    with ThreadPool(2, name="my pool", monitor=True) as pool:
        pool.submit(wait)
        assert started.wait(WAIT)
        page = client.get("/pools").text
        assert "my pool" in page and "1 run" in page and "wait" in page
        assert "my pool" in client.get("/").text
        done.set()


@every_engine
def test_a_fragment_is_the_same_without_what_stands_around(client: Client) -> None:
    whole, part = client.get("/jobs"), client.get("/jobs", X_Steadypool_Fragment="1")
    assert "<style" in whole.html and "<style" not in part.html and "<html" not in part.html
    assert 'id="live"' in part.html and 'id="live"' in whole.html and part.headers["Content-Security-Policy"]


def test_a_head_has_no_body(client: Client) -> None:
    answer = client.get("/jobs", "HEAD")
    assert answer.status == 200 and answer.html == "" and int(answer.headers["Content-Length"]) > 1000


def test_many_who_look_are_one_look(client: Client, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from steadypool.durable.engine.sqlite import figures

    looks: list[JobFilter] = []
    page = figures.SqliteFigures.page

    def counted(self: object, which: JobFilter, *more: object, **named: object) -> object:
        looks.append(which)
        return page(self, which, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(figures.SqliteFigures, "page", counted)
    monkeypatch.setattr("steadypool.contrib.web.cache.monotonic", lambda: 5.0)
    viewers = [threading.Thread(target=client.get, args=("/jobs",)) for _ in range(20)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert len(looks) == 1


def test_a_chart_of_an_hour() -> None:
    now = 1_000_000 * 60.0 + 30
    rows = [
        MinuteRow("a", now - 30, 10, 0, 0),
        MinuteRow("b", now - 30, 30, 10, 2),
        MinuteRow("a", now - 30 - 59 * 60, 1, 0, 0),
        MinuteRow("a", now - 30 - 60 * 60, 99, 0, 0),
    ]
    chart = chart_of(rows, now)
    assert (chart.completed, chart.failed, chart.discarded, chart.most) == (41, 10, 2, 50)
    assert [(bar.x, bar.completed, bar.failed) for bar in chart.bars] == [(0, 1.0, 0.0), (59, 25.6, 6.4)]
    assert "41 completed, 10 failed" in chart.label and chart_of([], now).bars == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('  File "/srv/app/mail.py", line 12, in send\n    x\nOSError: no\n', "app/mail.py:12 in send"),
        ('  File "a.py", line 1, in one\n  File "/x/y/b.py", line 2, in two\n', "y/b.py:2 in two"),
        ("OSError: no", ""),
        ("", ""),
    ],
)
def test_the_place_of_an_error(text: str, place: str) -> None:
    assert place_in(text) == place


def test_the_script_is_small_and_the_package_has_its_files() -> None:
    from steadypool.contrib.web.render import read

    assert len(read("web.js").encode()) < 6000 and len(read("web.css")) > 1000
    assert json.dumps(read("templates/layout.html"))


@every_engine
def test_a_store_that_goes_away_and_comes_back(client: Client, queue: Queue, url: str, engine_kind: EngineKind) -> None:
    assert client.get("/jobs").status == 200
    engine_kind.destroy(url)
    answer = Client(client.dashboard).get("/jobs?task=x")
    assert answer.status == 503 and "steadypool migrate" in answer.text and "Traceback" not in answer.html
    queue.close()
    with Queue(url) as other:
        for _ in range(3):
            with suppress(EngineGone):  # a new file may have the place on the disk that the old one had
                other.engine.migrate()
    found = [Client(client.dashboard).get("/jobs?task=x").status for _ in range(3)]
    assert set(found) <= {200, 503} and found[-1] == 200


@every_engine
def test_what_reads_cannot_write(client: Client, queue: Queue, engine_kind: EngineKind) -> None:
    """On PostgreSQL the server sees to it. On SQLite it is in the code: pages look over a connection of their own."""
    client.get("/")
    if engine_kind.name == "postgres":
        with pytest.raises(EngineError, match="only reads"):
            client.dashboard._reader.engine.pause("default", True)
