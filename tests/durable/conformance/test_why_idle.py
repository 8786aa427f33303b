"""Why nothing happens to a job, as its page and ``steadypool jobs show`` say it."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.why_idle import is_served, unserved, why_idle

from .steps import LONG, complete, put, record, take, worker


def why(engine: Engine, job_id: str) -> list[str]:
    return list(why_idle(engine, record(engine, job_id)))


def test_a_job_that_waits(engine: Engine) -> None:
    job_id = put(engine)
    assert why(engine, job_id) == ["No worker is at work."]
    engine.pause("default", True)
    assert why(engine, job_id) == ["Its queue, default, is paused.", "No worker is at work."]
    worker(engine)
    assert why(engine, job_id) == ["Its queue, default, is paused."]
    engine.pause("default", False)
    assert why(engine, job_id) == []


def test_a_queue_that_no_worker_serves(engine: Engine) -> None:
    job_id, other = put(engine, queue="mail"), put(engine, queue="later", delay=LONG)
    who = engine.register("w", LONG, ["default", "pdf"])
    assert [row.queues for row in engine.workers()] == [("default", "pdf")]
    assert why(engine, job_id) == ["No worker serves queue mail."]
    assert why(engine, other) == ["No worker serves queue later."]
    stats = engine.stats()
    assert unserved(stats.queues, stats.workers) == ["mail"], "nothing is due in the other"
    assert unserved(engine.depths(["later", "mail"]), stats.workers) == ["mail"]
    engine.pause("mail", True)
    stats = engine.stats()
    assert unserved(stats.queues, stats.workers) == [] and why(engine, job_id) == ["Its queue, mail, is paused."]
    engine.pause("mail", False)
    serving = engine.register("serves", LONG, ["mail"])
    assert why(engine, job_id) == [] and not is_served("default", engine.workers()[1:])
    engine.renew(serving, -1.0)
    assert why(engine, job_id) == ["No worker serves queue mail."], "it is not alive"
    worker(engine)
    assert engine.workers()[-1].queues is None
    assert why(engine, job_id) == why(engine, other) == [], "that one has not said which it serves"
    engine.leave(who)


def test_a_task_that_no_worker_knows(engine: Engine) -> None:
    tasks = ["app.work", "app.other"]
    job_id = put(engine)
    assert engine.unknown_tasks(tasks) == frozenset(), "there is no worker that could know one"
    engine.register("one", LONG, ["default"], ["app.other"])
    assert engine.unknown_tasks(tasks) == {"app.work"}
    assert why(engine, job_id) == ["No worker at work knows task app.work."]
    two = engine.register("two", LONG, ["mail"], ["app.work"])
    assert engine.unknown_tasks(tasks) == frozenset() and why(engine, job_id) == []
    engine.renew(two, -1.0)
    assert engine.unknown_tasks([*tasks, *tasks]) == {"app.work"}
    worker(engine)
    assert engine.unknown_tasks(tasks) == frozenset(), "that one has not said what it knows"


def test_a_job_whose_worker_is_gone(engine: Engine) -> None:
    job_id, who = put(engine), worker(engine)
    [claim] = take(engine, who)
    assert why(engine, job_id) == []
    engine.renew(who, -1.0)
    assert why(engine, job_id) == [
        "Lease over: its worker, tester, is gone or cut off. The next worker at work runs it again."
    ]
    worker(engine)  # one of the same name may be the one that runs it
    assert why(engine, job_id) == []
    engine.renew(who, LONG)
    engine.settle_many([complete(claim)])
    assert why(engine, job_id) == []
