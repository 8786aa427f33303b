"""What the forms do to jobs, queues and schedules, on both engines; and that each is told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from steadypool import Cron, JobState, Queue
from steadypool.contrib.web import Access, WebAction, changes
from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.records import AttemptError, NewJob, Settlement, Verdict
from steadypool.durable.engine.states import WAITING
from steadypool.rules.limits import Allowance
from tests.contrib.web.client import Client
from tests.durable import app

pytestmark = pytest.mark.every_engine


@pytest.fixture
def told() -> list[WebAction]:
    """What was told."""
    return []


@pytest.fixture
def client(make_client: Callable[..., Client], told: list[WebAction]) -> Iterator[Client]:
    return make_client(audit=told.append)


def discarded(queue: Queue, count: int = 1, task: str = "app.work", unique: str = "") -> list[str]:
    """So many jobs that have failed for good; their ids."""
    engine = queue.engine
    jobs = [NewJob(task, b"{}", queue="lab", unique=f"{unique}{n}" if unique else None) for n in range(count)]
    engine.put_many(jobs)
    worker = engine.register("w", 60)
    claims = engine.claim(worker, ["lab"], count).claims
    error = AttemptError(1, "failed", "ValueError", "no", "")
    engine.settle_many([Settlement(claim, Verdict.DISCARD, error=error) for claim in claims])
    return [claim.id for claim in claims]


def states(queue: Queue, ids: list[str]) -> set[JobState]:
    return {queue.record(job_id).state for job_id in ids}


def job_form(*ids: str, **more: str) -> list[tuple[str, str]]:
    return [("what", "job"), *(("id", job_id) for job_id in ids), *more.items()]


def test_one_job(client: Client, queue: Queue, told: list[WebAction]) -> None:
    [job] = discarded(queue)
    answer = client.post("/do/retry", job_form(job, back="job"))
    assert answer.status == 303 and "The job runs again." in client.get(answer.headers["Location"]).text
    assert queue.record(job).state is JobState.AVAILABLE
    client.post("/do/discard", job_form(job, back="job"))
    assert (queue.record(job).state, queue.record(job).reason) == (JobState.DISCARDED, "discarded by ann")
    client.post("/do/retry", job_form(job))
    client.post("/do/cancel", job_form(job))
    assert queue.record(job).state is JobState.CANCELLED
    assert [(one.user, one.action, one.what, one.ids, one.changed) for one in told] == [
        ("ann", action, "job", (job,), 1) for action in ("retry", "discard", "retry", "cancel")
    ]


def test_what_cannot_be_changed_is_said(client: Client, queue: Queue, told: list[WebAction]) -> None:
    job = app.add.options(delay=60).enqueue(1).job_id
    [gone] = discarded(queue)
    answer = client.post("/do/cancel", job_form(job, gone, "job-77777"))
    assert "1 job cancelled" in answer.text and f"job '{gone}' has ended already" in answer.text
    assert "job-77777" in answer.text and "Left as they are: 2" in answer.text
    assert states(queue, [job]) == {JobState.CANCELLED}
    assert [one.changed for one in told] == [1] and len(told[0].ids) == 3
    assert client.post("/do/cancel", job_form()).status == 400
    assert client.post("/do/cancel", job_form(*map(str, range(201)))).status == 400


def test_the_chosen_ones_after_a_question(client: Client, queue: Queue) -> None:
    one, two, three = discarded(queue, 3)
    asked = client.get(f"/confirm?action=retry&id={one}&id={two}")
    assert "Retry 2 jobs?" in asked.text and one in asked.text
    [(place, fields)] = asked.forms()
    assert "2 jobs will run again" in client.post(place, fields).text
    assert states(queue, [one, two]) == {JobState.AVAILABLE} and states(queue, [three]) == {JobState.DISCARDED}


def test_all_that_match_after_a_question(client: Client, queue: Queue, told: list[WebAction]) -> None:
    chosen, others = discarded(queue, 30, "app.one"), discarded(queue, 5, "app.other")
    asked = client.get("/confirm?action=retry&all=1&task=one&error=ValueError")
    assert "Retry 30 jobs?" in asked.text and "discarded" in asked.text
    [(place, fields)] = asked.forms()
    assert "30 jobs will run again" in client.post(place, fields).text
    assert states(queue, chosen) == {JobState.AVAILABLE} and states(queue, others) == {JobState.DISCARDED}
    assert "0 jobs will run again" in client.post(place, fields).text  # a second click
    assert [(one.changed, one.ids) for one in told] == [(30, ()), (0, ())]
    assert told[0].filter is not None and told[0].filter.task == "one" and "30 changed" in str(told[0])


def test_taken_keys_are_listed_and_no_errors(client: Client, queue: Queue) -> None:
    jobs = discarded(queue, 20, unique="key")
    taken = [NewJob("app.work", b"{}", queue="lab", unique=f"key{n}", delay=60) for n in range(5)]
    queue.engine.put_many(taken)
    answer = client.post("/do/retry", [("what", "job"), ("all", "1"), ("state", "discarded")])
    assert "15 jobs will run again" in answer.text and "Left as they are: 5" in answer.text
    assert all(job in answer.text for job in jobs[:5])


def test_very_many_go_on_where_the_answer_ended(
    client: Client, queue: Queue, monkeypatch: pytest.MonkeyPatch, told: list[WebAction]
) -> None:
    jobs = discarded(queue, 450)
    monkeypatch.setattr(changes, "AT_WORK", -1.0)
    answer = client.post("/do/retry", [("what", "job"), ("all", "1"), ("state", "discarded")])
    counts = []
    while "so far" in answer.text:
        counts.append(int(re.findall(r"([\d,]+) jobs will run again so far", answer.text)[0]))
        [(place, fields)] = answer.forms()
        answer = client.post(place, fields)
    assert counts == [200, 400, 450] and "450 jobs will run again" in answer.text
    assert states(queue, jobs) == {JobState.AVAILABLE} and sum(one.changed for one in told) == 450


@pytest.mark.parametrize("action", ["cancel", "discard"])
def test_all_that_wait(client: Client, queue: Queue, action: str) -> None:
    jobs = [app.add.options(delay=60).enqueue(n).job_id for n in range(3)]
    [(place, fields)] = client.get(f"/confirm?action={action}&all=1&task=add").forms()
    client.post(place, fields)
    assert not states(queue, jobs) & WAITING
    assert client.get(f"/confirm?action={action}&all=1&state=completed").status == 400
    assert client.post(f"/do/{action}", [("what", "job"), ("all", "1"), ("state", "completed")]).status == 400


def test_queues_are_paused_and_go_on(client: Client, queue: Queue, told: list[WebAction]) -> None:
    app.add.enqueue(1)
    [(place, fields)] = client.get("/queues").forms()
    answer = client.post(place, fields)
    page = client.get(answer.headers["Location"])
    assert "It is paused." in page.text and [row.paused for row in queue.stats().queues] == [True]
    assert "Paused: default" in client.get("/").text
    [(place, fields)] = page.forms()
    assert place == "/do/resume" and client.post(place, fields).status == 303
    assert [row.paused for row in queue.stats().queues] == [False]
    assert [(one.action, one.what, one.ids) for one in told] == [
        (action, "queue", ("default",)) for action in ("pause", "resume")
    ]
    assert client.post("/do/pause", [("what", "queue"), ("name", "")]).status == 400


def test_schedules_are_paused_go_on_and_run(client: Client, queue: Queue, told: list[WebAction]) -> None:
    queue.schedules.put("nightly", app.add.call(1), Cron("0 3 * * *"))
    page = client.get("/schedules")
    assert "0 3 * * * UTC" in page.text and len(re.findall(r" 03:00:00", page.text)) == 5
    fields = [("what", "schedule"), ("name", "nightly")]
    assert {place for place, _ in page.forms()} == {"/do/run", "/do/pause"}
    client.post("/do/pause", fields)
    assert queue.schedules.get("nightly").paused and "paused" in client.get("/schedules").text
    client.post("/do/resume", fields)
    assert not queue.schedules.get("nightly").paused
    shown = client.get(client.post("/do/run", fields).headers["Location"])
    assert "The schedule has put this job." in shown.text and "tests.durable.app.add" in shown.text
    assert client.post("/do/run", [("what", "schedule"), ("name", "none")]).status == 409
    assert [one.action for one in told] == ["pause", "resume", "run", "run"] and "no schedule" in told[-1].error


def test_an_audit_that_fails_fails_nothing_else(make_client: Callable[..., Client], queue: Queue) -> None:
    [job] = discarded(queue)
    client = make_client(Access.act("ann", only={"retry"}), audit=lambda action: 1 / 0)
    assert client.post("/do/retry", job_form(job)).status == 200
    assert queue.record(job).state is JobState.AVAILABLE


def test_there_is_no_other_action(client: Client, told: list[WebAction]) -> None:
    for action, what in (
        ("retry", "queue"),
        ("run", "queue"),
        ("run", "job"),
        ("pause", "job"),
        ("cancel", "schedule"),
    ):
        assert client.post(f"/do/{action}", [("what", what), ("name", "default"), ("id", "x")]).status == 400
    for action in ("enqueue", "delete", "", "retry/x", "__class__"):
        assert client.post(f"/do/{action}").status == 404
    assert told == []


def test_limits_are_set_and_reset(client: Client, queue: Queue, told: list[WebAction]) -> None:
    declare(queue, "stripe", Allowance(running=5))
    page = client.get("/limits")
    assert "stripe" in page.text and "5 at a time" in page.text and "code" in page.text
    fields = [("what", "limit"), ("name", "stripe")]
    answer = client.post("/do/set", [*fields, ("running", "2"), ("starts", "100"), ("per", "60"), ("burst", " ")])
    page = client.get(answer.headers["Location"])
    assert "The limit is set." in page.text and "2 at a time, 100 in 60 s" in page.text and "in code: 5" in page.text
    client.post("/do/set", [*fields, ("key", "42"), ("running", "1")])
    assert "key 42" in client.get("/limits").text
    assert client.post("/do/reset", [*fields, ("key", "42")]).status == 303
    assert client.post("/do/reset", fields).status == 303
    text = client.get("/limits").text
    assert "5 at a time" in text and "key 42" not in text and "by hand" not in text
    assert [(one.action, one.ids, one.changed) for one in told] == [
        *(("set", ("stripe",), 1), ("set", ("stripe", "42"), 1), ("reset", ("stripe", "42"), 1)),
        ("reset", ("stripe",), 1),
    ]
    for wrong in ([("running", "x")], [("running", "-1")], [("per", "nan")], [("starts", "5")], []):
        assert client.post("/do/set", [*fields, *wrong]).status == 400
    assert client.post("/do/set", [("what", "limit"), ("name", "none"), ("running", "1")]).status == 409


def declare(queue: Queue, name: str, allowed: Allowance) -> None:
    """As a worker whose program has the limit."""
    queue.engine.limits.declare("app", None, [name], [NewLimit(name, allowed, "wait")], 60.0)


def test_a_batch_is_looked_at_and_cancelled(client: Client, queue: Queue, told: list[WebAction]) -> None:
    with queue.batch("import of May", then=app.add.call(1), finally_=app.add.call(2)) as batch:
        members = [app.add.options(delay=60).enqueue(n).job_id for n in range(60)]
    assert "import of May" in client.get("/batches").text and "0 of 60" in client.get("/batches").text
    page = client.get(f"/batch?id={batch.id}")
    assert "at work" in page.text and members[0] in page.text and members[55] not in page.text
    [more] = [link for link in page.links() if "after=" in link]
    assert (
        members[55] in client.get(more).text
        and "No members in this state." in client.get(f"/batch?id={batch.id}&state=completed").text
    )
    assert f"/batch?id={batch.id}" in client.get(f"/job?id={members[0]}").links()
    [(place, fields)] = page.forms()
    answer = client.post(place, fields)
    assert "The batch is cancelled." in client.get(answer.headers["Location"]).text
    assert [(one.action, one.what, one.ids, one.changed) for one in told] == [("cancel", "batch", (batch.id,), 1)]
    for wrong in ("batch?id=x", "batch?id=batch-77", "batch"):
        assert client.get(f"/{wrong}").status == 404
    assert client.get(f"/batch?id={batch.id}&state=x").status == client.get("/batches?before=x").status == 400
    assert client.post("/do/cancel", [("what", "batch"), ("id", "batch-77")]).status == 409
    assert client.post("/do/cancel", [("what", "batch"), ("id", "x")]).status in (400, 409)


def test_many_batches_are_pages(client: Client, queue: Queue) -> None:
    for number in range(60):
        queue.batch(f"number {number}").seal()
    page = client.get("/batches")
    assert "number 59" in page.text and "number 9 " not in page.text
    [older] = [link for link in page.links() if "before=" in link]
    assert "number 9 " in client.get(older).text and "number 10 " not in client.get(older).text
