"""What a running job can know about itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from steadypool import JobContext, current_job, task
from steadypool.model.events import JobProgressed
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch


def test_outside_of_a_job_it_is_inert() -> None:
    job = current_job()
    assert isinstance(job, JobContext) and not job
    assert (job.id, job.deadline, job.remaining(), job.cancelled, job.cause) == ("", None, None, False, None)
    assert dict(job.meta) == {}
    job.raise_if_cancelled()
    job.progress(1, 2)
    assert job.sleep(0.0) is True


def test_a_task_called_as_a_plain_function_has_no_job() -> None:
    assert task(jobs.job_facts, timeout=5, id="a")() == ("", "", 1, {})


def test_the_job_knows_itself(pool: Any, stage: Stage) -> None:
    mine = task(jobs.act, id="order-42", name="the act", timeout=100, meta={"tenant": "a"})
    before = time.monotonic()
    future, actor = stage.start(pool, fn=mine)
    facts = actor.ask("facts")
    assert (facts["id"], facts["task"], facts["attempt"]) == ("order-42", "the act", 1)
    assert (facts["meta"], facts["cancelled"], facts["cause"], facts["true"]) == ({"tenant": "a"}, False, None, True)
    assert before + 100 <= facts["deadline"] <= time.monotonic() + 100
    assert 0 < facts["remaining"] <= 100
    assert actor.ask("same context") is True
    actor.tell("return")
    assert future.job_id == "order-42"


def test_a_plain_job_has_an_id_and_no_deadline(pool: Any) -> None:
    future = pool.submit(jobs.job_facts)
    assert future.result(WAIT) == (future.job_id, "tests.pools.contract.jobs.job_facts", 1, {})


@pytest.mark.differs_on("asyncio", "it ends with CancelledError: see tests/pools/aio/test_context.py")
def test_sleep_ends_early_when_told(make_pool: Any, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    future, actor = stage.start(pool)
    assert actor.ask("sleep a little") is True
    began = time.monotonic()
    future.cancel(running=True)
    assert actor.ask("told") == [False, "cancelled"]
    assert actor.ask("sleep a little") is False
    assert time.monotonic() - began < 15
    assert actor.ask("facts")["cancelled"] is True
    actor.tell("obey")
    with pytest.raises(Exception, match="cancelled"):
        future.result(WAIT)


@pytest.mark.differs_on("asyncio", "it ends with CancelledError: see tests/pools/aio/test_context.py")
def test_a_sleep_without_end_ends_when_told(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    actor.tell("sleep for ever")
    future.cancel(running=True)
    assert future.result(WAIT) is False


@pytest.mark.differs_on("asyncio", "it is awaited: see tests/pools/aio/test_context.py")
def test_a_sleep_that_makes_no_sense(pool: Any) -> None:
    with pytest.raises(ValueError, match=r"sleep\(seconds\) must be 0 or more seconds; got -1"):
        pool.submit(jobs.sleep_in_job, -1).result(WAIT)


def test_the_first_cause_stays(make_pool: Any, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=0.05))
    assert actor.ask("told")[1] == "timeout"
    future.cancel(running=True)
    pool.request_drain(0)
    assert actor.ask("cause") == "timeout"
    actor.tell("return")


def test_nothing_of_a_job_s_context_is_left_for_the_next(make_pool: Any, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    future, actor = stage.start(pool, fn=task(jobs.act, timeout=1000, meta={"a": 1}, id="first"))
    future.cancel(running=True)
    actor.tell("obey")
    future.exception(WAIT)
    _, actor = stage.start(pool)
    facts = actor.ask("facts")
    assert facts["id"] != "first"
    assert (facts["cause"], facts["deadline"], facts["meta"], facts["attempt"]) == (None, None, {}, 1)
    actor.tell("return")


def test_progress_is_told_to_the_sinks(pool: Any, stage: Stage) -> None:
    watch = Watch(pool)
    future, actor = stage.start(pool)
    actor.ask("progress")
    actor.ask("progress without total")
    actor.tell("return")
    future.result(WAIT)
    told = watch.wait_for(JobProgressed, 2)
    assert [(event.done, event.total) for event in told] == [(3, 10), (4, None)]
    assert {event.job_id for event in told} == {future.job_id}


def test_progress_costs_nothing_when_nobody_listens(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    actor.ask("progress")
    actor.tell("return")
    assert future.result(WAIT) == "actor"
