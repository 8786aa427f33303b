"""Jobs that wait for others: ``after``, chains, inputs."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from steadypool import JobCancelled, JobState, PayloadRefused, Queue, Result, UnknownJob, WrongState, current_job
from tests.durable import app
from tests.durable.engines import file_of
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


def connect(url: str) -> Any:
    """A connection of the caller's own library to the queue's database."""
    return sqlite3.connect(file_of(url)) if url.startswith("sqlite") else psycopg.connect(url)


KINDS = ["thread", "process", "async"]


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_runs_after_others_and_sees_what_they_have_returned(queue: Queue, kind: str) -> None:
    one, other = app.add.enqueue(1, 2), app.add.options(keep=0).enqueue(3, 4)
    task = app.inputs_async if kind == "async" else app.inputs
    last = task.options(after=[one, other.id]).enqueue()
    assert last.state is JobState.WAITING
    with Working(queue, kind=kind):
        assert last.result(WAIT) == [(one.id, "completed", 3), (other.id, "completed", 7)]


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_hands_on_results(queue: Queue, kind: str) -> None:
    add = app.add_async if kind == "async" else app.add
    chain = queue.chain(add.call(1), add.call(Result, 10), add.call(100, other=Result))
    with Working(queue, kind=kind):
        assert chain.result(WAIT) == 111
        assert [handle.result(WAIT) for handle in chain] == [1, 11, 111]
    assert asyncio.run(chain.result_async(WAIT)) == 111


@pytest.mark.every_engine
def test_what_cannot_run_any_more_is_cancelled_and_says_why(queue: Queue) -> None:
    chain = queue.chain(app.fail.options(retry=None).call(), app.add.call(1), app.add.call(2))
    whatever = app.inputs.options(after=[chain[0]], needs="end").enqueue()
    with Working(queue) as working:
        with pytest.raises(JobCancelled, match=f"needed {chain[0].id}, which was discarded"):
            chain[1].result(WAIT)
        with pytest.raises(JobCancelled, match=f"needed {chain[1].id}, which was cancelled"):
            chain.result(WAIT)
        [(job_id, state, result)] = whatever.result(WAIT)
        assert (job_id, state, result) == (chain[0].id, "discarded", None)
        event = working.wait_for("DependencyFailed")
        assert (event.job_id, event.needed, event.state) == (chain[1].id, chain[0].id, "discarded")
    with pytest.raises(WrongState, match="retry that one, and this one comes back"):
        queue.retry(chain[1].id)


@pytest.mark.every_engine
def test_a_retry_by_hand_heals_a_chain(queue: Queue, tmp_path: Path) -> None:
    chain = queue.chain(app.need_file.call(str(tmp_path / "there")), app.add.call(1, Result))
    with Working(queue):
        with pytest.raises(JobCancelled):
            chain.result(WAIT)
        (tmp_path / "there").write_text("7")
        queue.retry(chain[0].id)
        assert chain[0].result(WAIT) == 7
        assert chain.result(WAIT) == 8


@pytest.mark.every_engine
def test_a_worker_that_ends_when_nothing_is_left_runs_what_waits(queue: Queue) -> None:
    chain = queue.chain(*(app.add.call(number) for number in range(5)))
    stuck = app.add.options(after=[app.add.options(delay=3600).enqueue(1)]).enqueue(2)
    assert queue.work(until_empty=True, kind="thread", workers=1).completed == 5
    assert chain.result(0) == 4 and stuck.state is JobState.WAITING


def test_on_a_connection_of_the_callers(queue: Queue) -> None:
    queue.engine.migrate()
    connection = connect(queue.url)
    one = app.add.enqueue(1, connection=connection)
    last = app.add.options(after=[one]).enqueue(2, connection=connection)
    with pytest.raises(UnknownJob, match="nothing-like-it"):
        app.add.options(after=["nothing-like-it"]).enqueue(3, connection=connection)
    connection.commit()
    connection.close()
    with Working(queue):
        assert last.result(WAIT) == 2


def test_what_after_takes(queue: Queue) -> None:
    one = app.add.enqueue(1)
    with pytest.raises(TypeError, match="after must be a list of jobs"):
        app.add.options(after="job-7")
    with pytest.raises(TypeError, match="after must be a list of jobs: each"):
        app.add.options(after=[7])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="needs must be one of 'success', 'end'"):
        app.add.options(after=[one], needs="luck")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give after, too"):
        app.add.options(needs="end")
    with pytest.raises(ValueError, match="cannot be together"):
        app.add.options(after=[one], unique="a", on_taken="replace")
    with pytest.raises(UnknownJob, match="'job-12345'"):
        app.add.options(after=["job-12345"]).enqueue(1)
    with pytest.raises(ValueError, match="would wait for itself"):
        app.add.options(id="a", after=["a"]).enqueue(1)
    calls = [app.add.options(id=name, after=[other]).call(1) for name, other in ("ab", "ba")]
    with pytest.raises(ValueError, match="a job that is put after it"):
        queue.put_many(calls)
    assert app.add.options(after=[]).enqueue(1).state is JobState.AVAILABLE


def test_what_result_needs(queue: Queue) -> None:
    with pytest.raises(ValueError, match="there is no job before it"):
        app.add.enqueue(Result)
    with pytest.raises(ValueError, match="there is no job before it"):
        queue.chain(app.add.call(Result))
    with pytest.raises(ValueError, match="there is no job before it"):
        queue.put(app.add.call(Result))
    with pytest.raises(ValueError, match="must succeed"):
        queue.chain(app.add.call(1), app.add.options(after=[app.add.enqueue(1)], needs="end").call(Result))
    with pytest.raises(ValueError, match="chain takes calls"):
        queue.chain()
    with pytest.raises(PayloadRefused, match="argument 'other'"):
        app.add.call(Result, "two")  # type: ignore[arg-type]
    one = app.add.enqueue(1)
    call = app.add.options(after=[one]).call(Result, 2)
    assert type(call).from_json(call.to_json()) == call
    last = queue.put(call)
    with Working(queue):
        assert last.result(WAIT) == 3


def test_a_job_asks_the_queue_of_its_task_and_opens_no_other(queue: Queue) -> None:
    other = Queue(queue.url)
    for number in range(20):
        other.task(lambda: None, name=f"tests.other.{number}")
    mine = Queue(queue.url)
    ask = mine.task(lambda: len(current_job().inputs), name="tests.ask")
    first = queue.put(app.add.call(1))
    handle = ask.options(after=[first]).enqueue()
    with Working(queue):
        first.result(WAIT)
    with Working(mine):
        assert handle.result(WAIT) == 1
    assert other._opened.at is None
    mine.close()
