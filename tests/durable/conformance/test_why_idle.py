"""Why nothing happens to a job, as its page and ``steadypool jobs show`` say it."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.why_idle import why_idle

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
