"""Batches: members, what follows, cancelling, and jobs that add others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from steadypool import (
    BatchProgress,
    JobCancelled,
    JobState,
    Queue,
    Result,
    ThreadPool,
    UnknownBatch,
    UnknownJob,
    WrongState,
)
from tests.durable import app
from tests.durable.test_after import connect
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

KINDS = ["thread", "process", "async"]


def follows(queue: Queue, batch: Any, which: str) -> Any:
    """What the job returned that follows."""
    return queue.get(f"batch:{batch.number}:{which}").result(WAIT)


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_sees_the_batch(queue: Queue, kind: str) -> None:
    report = app.report_async if kind == "async" else app.report
    with queue.batch("import", then=report.call("then"), finally_=report.call("finally")) as batch:
        handles = [app.add.enqueue(number) for number in range(5)]
        handles += queue.enqueue_many(app.add, [(5,), (6,)])
        handles.append(queue.put(app.add.call(7)))
    with Working(queue, kind=kind) as working:
        assert batch.result(WAIT) == BatchProgress(8, 8, 0, 0, True, True)
        assert [handle.result(WAIT) for handle in handles] == list(range(8))
        assert follows(queue, batch, "then") == ("then", batch.id, 8, 0, [])
        assert follows(queue, batch, "finally") == ("finally", batch.id, 8, 0, [])
        event = working.wait_for("BatchFinished")
        assert (event.batch, event.name, event.completed, event.failed) == (batch.id, "import", 8, 0)
    assert queue.get_batch(batch.id).name == "import"
    assert [record.id for record in batch.members()] == [handle.id for handle in handles]


@pytest.mark.every_engine
def test_failed_members_and_the_heal(queue: Queue, tmp_path: Any) -> None:
    with queue.batch("import", then=app.report.call("then"), finally_=app.report.call("finally")) as batch:
        app.add.enqueue(1)
        handle = app.need_file.enqueue(str(tmp_path / "there"))
    with Working(queue):
        assert batch.result(WAIT) == BatchProgress(2, 1, 1, 0, True, True)
        assert follows(queue, batch, "finally") == ("finally", batch.id, 1, 1, [handle.id])
        assert [record.id for record in batch.failed()] == [handle.id]
        (tmp_path / "there").write_text("7")
        queue.retry(handle.id)
        assert handle.result(WAIT) == 7
        assert batch.result(WAIT) == BatchProgress(2, 2, 0, 0, True, True)
        assert follows(queue, batch, "then")[2:4] == (2, 0)


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_what_follows_reads_what_the_members_have_returned(queue: Queue, kind: str) -> None:
    with queue.batch("sum", finally_=app.results.call()) as batch:
        first = app.add.enqueue(1, 2)
        app.inputs.options(after=[first]).enqueue()
        app.need_file.enqueue("nowhere")
    returned = [(first.id, "completed", 3)]
    with Working(queue, kind=kind):
        batch.result(WAIT)
        assert follows(queue, batch, "finally") == [
            ("completed", "3", []),
            ("completed", repr(returned), []),
            ("discarded", "None", ["FileNotFoundError"]),
        ]
    assert [one.result for one in batch.members("completed")] == [3, returned]
    [failed] = batch.failed()
    assert (failed.result, failed.reason, failed.errors[0].type_name) == (None, "no retry is left", "FileNotFoundError")
    without_tasks = Queue(queue.url).get_batch(batch.id)
    assert [one.result for one in without_tasks.members("completed")] == [3, [list(returned[0])]]


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_member_adds_members(queue: Queue, kind: str) -> None:
    spread = app.spread_async if kind == "async" else app.spread
    with queue.batch("spread", then=app.report.call("then")) as batch:
        spread.enqueue(20)
    with Working(queue, kind=kind):
        assert batch.result(WAIT) == BatchProgress(21, 21, 0, 0, True, True)
        if kind != "async":
            assert follows(queue, batch, "then")[2:4] == (21, 0)


@pytest.mark.every_engine
def test_an_empty_one_and_one_of_one(queue: Queue) -> None:
    with queue.batch("empty", then=app.report.call("then"), finally_=app.report.call("finally")) as empty:
        pass
    assert empty.progress() == BatchProgress(0, 0, 0, 0, True, True)
    with queue.batch("one", then=app.report.call("then")) as one:
        app.add.enqueue(1)
    with Working(queue):
        assert follows(queue, empty, "then")[2] == 0 and follows(queue, empty, "finally")[2] == 0
        one.result(WAIT)
        assert follows(queue, one, "then")[2] == 1


@pytest.mark.every_engine
def test_an_error_in_the_block_cancels_what_was_put(queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError), queue.batch("broken", finally_=app.report.call("finally")) as batch:
        first = app.add.enqueue(1)
        assert first.id and first.enqueued
        lost = app.add.enqueue(2)
        assert repr(lost) == "<durable job, not put yet>"
        raise ZeroDivisionError
    with pytest.raises(WrongState, match="was not put"):
        _ = lost.id
    queue.engine.batches.tend(100)
    assert first.state is JobState.CANCELLED and batch.progress() == BatchProgress(1, 0, 0, 1, True, True)
    assert queue.get(f"batch:{batch.number}:finally").state is JobState.AVAILABLE


@pytest.mark.every_engine
def test_members_that_cannot_be_put_cancel_it(queue: Queue) -> None:
    with pytest.raises(UnknownJob, match="job-9999"), queue.batch("broken") as batch:
        first = app.add.enqueue(1)
        assert first.id
        app.add.options(after=["job-9999"]).enqueue(2)
    queue.engine.batches.tend(100)
    assert first.state is JobState.CANCELLED and batch.progress() == BatchProgress(1, 0, 0, 1, True, True)


@pytest.mark.every_engine
def test_it_does_not_end_without_members_whose_error_was_caught(queue: Queue) -> None:
    with pytest.raises(WrongState, match=r"could not be put.*job-9999"), queue.batch("broken") as batch:
        lost = app.add.enqueue(1)  # it is put together with the next one
        with pytest.raises(UnknownJob, match="job-9999"):
            assert app.add.options(after=["job-9999"]).enqueue(2).id
        with pytest.raises(WrongState, match="was not put"):
            assert lost.id
        assert batch.progress().total == 0
    queue.engine.batches.tend(100)
    assert batch.progress().finished


@pytest.mark.every_engine
def test_threads_that_ask_for_ids_at_once_get_them(queue: Queue) -> None:
    for _ in range(30):
        with queue.batch("asked") as batch, ThreadPool(4) as pool:
            handles = [app.add.enqueue(number) for number in range(4)]
            assert len(set(pool.map(lambda handle: handle.id, handles * 4))) == 4
        batch.cancel()


@pytest.mark.every_engine
def test_in_a_transaction_of_the_callers(queue: Queue) -> None:
    queue.engine.migrate()
    connection = connect(queue.url)
    with queue.batch("lost", connection=connection) as lost:
        app.add.enqueue(1)
    connection.rollback()
    with pytest.raises(UnknownBatch):
        lost.progress()
    with queue.batch("kept", then=app.report.call("then"), connection=connection) as batch:
        handles = [app.add.enqueue(number) for number in range(3)]
    connection.commit()
    with queue.batch("empty", then=app.report.call("then"), connection=connection) as empty:
        pass
    connection.commit()
    connection.close()
    with Working(queue):
        assert batch.result(WAIT).completed == 3 and [handle.result(WAIT) for handle in handles] == [0, 1, 2]
        assert follows(queue, batch, "then")[2] == 3
        assert empty.result(WAIT).finished and follows(queue, empty, "then")[2] == 0


@pytest.mark.every_engine
def test_cancelling_one(queue: Queue) -> None:
    with queue.batch("slow", finally_=app.report.call("finally")) as batch:
        for _ in range(5):
            app.add.options(delay=3600).enqueue(1)
    with Working(queue):
        assert batch.cancel()
        assert batch.result(WAIT) == BatchProgress(5, 0, 0, 5, True, True)
        with pytest.raises(JobCancelled, match=r"\) was cancelled: its batch was cancelled"):
            queue.get(next(batch.members()).id).result(WAIT)
        assert follows(queue, batch, "finally")[2] == 0
    assert not batch.cancel()
    with pytest.raises(WrongState, match="has finished"):
        batch.add(app.add.call(1))
    with pytest.raises(WrongState, match="has finished"), queue.batch("late", parent=batch):
        pass


@pytest.mark.every_engine
def test_a_member_that_runs_again_by_hand_adds_others(queue: Queue) -> None:
    with queue.batch("spread", then=app.report.call("then")) as batch:
        handle = app.spread.options(delay=3600).enqueue(2)
    queue.discard(handle.id)
    queue.engine.batches.tend(100)
    assert batch.progress().finished
    queue.retry(handle.id)
    with Working(queue):
        assert batch.result(WAIT) == BatchProgress(3, 3, 0, 0, True, True)
        assert follows(queue, batch, "then")[2:4] == (3, 0)


@pytest.mark.every_engine
def test_without_a_block(queue: Queue) -> None:
    batch = queue.batch("by hand", then=app.report.call("then"))
    child = queue.batch("child", parent=batch)
    handle = batch.add(app.add.call(1))
    child.add_many([app.add.call(2), app.add.call(3)])
    with Working(queue):
        assert handle.result(WAIT) == 1
        assert not batch.progress().finished
        child.seal()
        batch.seal()
        assert batch.result(WAIT) == BatchProgress(2, 2, 0, 0, True, True)
        assert follows(queue, batch, "then")[2] == 2


@pytest.mark.every_engine
def test_from_asyncio(queue: Queue) -> None:
    async def fill() -> Any:
        async with queue.batch("async", then=app.report.call("then")) as batch:
            await app.add.enqueue_async(1)
            await queue.put_many_async([app.add.call(2), app.add.call(3)])
        return batch, await batch.result_async(WAIT)

    with Working(queue):
        batch, counts = asyncio.run(fill())
        assert counts == BatchProgress(3, 3, 0, 0, True, True)
        assert follows(queue, batch, "then")[2] == 3


@pytest.mark.every_engine
def test_what_has_ended_is_seen_before_a_worker_leaves(queue: Queue) -> None:
    with queue.batch("all", then=app.report.call("then"), finally_=app.report.call("finally")) as batch:
        for number in range(30):
            app.add.enqueue(number)
    assert queue.work(until_empty=True, kind="thread", workers=2).completed == 32
    assert batch.progress().finished


def test_what_it_takes(queue: Queue) -> None:
    with pytest.raises(TypeError, match="then must be a call"):
        queue.batch("a", then=app.add)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave unique='a' out"):
        queue.batch("a", then=app.add.options(unique="a").call(1))
    with pytest.raises(ValueError, match="on_failure must be one of 'go_on', 'cancel_rest'"):
        queue.batch("a", on_failure="stop")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the name of a batch"):
        queue.batch("")
    with pytest.raises(TypeError, match="parent must be a batch"):
        queue.batch("a", parent="b")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the id of a batch is a str"):
        queue.get_batch(7)  # type: ignore[arg-type]
    queue.engine.migrate()
    for text in ("nothing", "batch-1", f"batch-{2**63}"):
        with pytest.raises(UnknownBatch, match=text):
            queue.get_batch(text)
    with pytest.raises(TypeError, match="add takes a call"):
        queue.batch("a").add(app.add)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="those of jobs that follow a batch"):
        app.add.options(id="batch:1:then").enqueue(1)
    batch = queue.batch("once")
    with batch:
        pass
    with pytest.raises(RuntimeError, match="one with block"), batch:
        pass
    for fails in (
        lambda: queue.batch("a", then=app.add.call(Result)),
        lambda: queue.batch("a").add(app.add.call(Result)),
    ):
        with pytest.raises(ValueError, match="there is no job before it"):
            fails()
    elsewhere = Queue("sqlite:///elsewhere.db").task(len, name="other.len").call("a")
    for fails in (lambda: queue.batch("a", then=elsewhere), lambda: queue.batch("a").add(elsewhere)):
        with pytest.raises(ValueError, match=r"no task 'other\.len'"):
            fails()
    with pytest.raises(TimeoutError, match=r"0 of the 0 members .* it was not sealed"):
        queue.batch("open").result(0)
    assert not hasattr(app.add, "batch")
