"""One call as a value: checked when it is made, and put later, alone or with calls of other tasks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from steadypool import Call, PayloadRefused, Queue
from tests.durable import app
from tests.durable.engines import EngineKind, file_of
from tests.durable.working import Working
from tests.patience import WAIT


def test_a_call_is_checked_at_once_frozen_and_json() -> None:
    call = app.add.options(priority=5, delay=60, timeout=3).call(1, other=2)
    assert (call.task, call.job.priority, call.job.delay) == ("tests.durable.app.add", 5, 60.0)
    assert json.loads(call.to_json()) == {
        "task": "tests.durable.app.add",
        "payload": {"one": 1, "other": 2},
        "priority": 5,
        "delay": 60.0,
        "options": {"timeout": 3.0},
    }
    assert Call.from_json(call.to_json()) == call
    assert repr(call) == '<call of tests.durable.app.add with {"one":1,"other":2}>'
    with pytest.raises(AttributeError):
        call.job = None  # type: ignore[misc,assignment]
    with pytest.raises(PayloadRefused, match="'one'"):
        app.add.call("no number")  # type: ignore[arg-type]
    with pytest.raises(PayloadRefused, match="cannot be called like that"):
        app.add.call()  # type: ignore[call-arg]


def test_what_is_changed_later_does_not_change_a_call(queue: Queue) -> None:
    values = [1, 2]
    tasks = Queue("sqlite:///nowhere.db")

    @tasks.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    call = total.call(values)
    values.append(3)
    assert json.loads(call.to_json())["payload"] == {"numbers": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"payload": {}}',
        '{"task": 3}',
        '{"task": "t", "colour": 1}',
        '{"task": "t", "priority": "high"}',
    ],
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no call, as Call\.to_json\(\) writes one"):
        Call.from_json(text)


@pytest.mark.every_engine
def test_calls_of_different_tasks_are_put_and_run(queue: Queue) -> None:
    queue.engine.migrate()
    one = queue.put(app.add.call(1, 2))
    more = queue.put_many(call for call in (app.token.call(), app.add.options(id="mine").call(3), app.add.call(4)))
    again = queue.put(app.add.options(id="mine").call(9))
    assert one.enqueued and [handle.enqueued for handle in more] == [True] * 3 and not again.enqueued
    with Working(queue):
        assert one.result(WAIT) == 3
        assert [handle.result(WAIT) for handle in more[1:]] == [3, 4]
        assert again.result(WAIT) == 3 and more[0].result(WAIT).endswith(":1")
    assert queue.put_many([]) == []


def test_from_asyncio(queue: Queue) -> None:
    async def main() -> list[str]:
        with pytest.raises(RuntimeError, match=r"use await queue\.put_async"):
            queue.put(app.add.call(1))
        first = await queue.put_async(app.add.call(1))
        rest = await queue.put_many_async([app.add.call(2), app.token.call()])
        return [first.job_id, *(handle.job_id for handle in rest)]

    assert set(asyncio.run(main())) == {record.id for record in queue.list()}


@pytest.mark.every_engine
def test_one_that_cannot_be_put_keeps_all_out(queue: Queue) -> None:
    queue.engine.migrate()
    stranger = Queue("sqlite:///nowhere.db")
    with pytest.raises(TypeError, match=r"made by task\.call"):
        queue.put(app.add)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"put_many takes calls, as in put_many\(\[add\.call\(\.\.\.\)\]\), not one"):
        queue.put_many(app.add.call(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no task 'elsewhere\.add': put the call into"):
        queue.put_many([app.add.call(1), stranger.task(app.add.fn, name="elsewhere.add").call(2)])
    assert queue.list() == []


@pytest.fixture
def connection(engine_kind: EngineKind, queue: Queue, url: str) -> Iterator[object]:
    queue.engine.migrate()
    made = sqlite3.connect(file_of(url)) if engine_kind.name == "sqlite" else psycopg.connect(url)
    yield made
    made.close()


@pytest.mark.every_engine
def test_in_the_callers_transaction(queue: Queue, connection: sqlite3.Connection) -> None:
    queue.put_many([app.add.call(1), app.token.call()], connection=connection)
    connection.rollback()
    assert queue.list() == []
    handles = queue.put_many([app.add.call(1), app.token.call()], connection=connection)
    last = queue.put(app.add.call(2), connection=connection)
    connection.commit()
    assert {record.id for record in queue.list()} == {*(handle.job_id for handle in handles), last.job_id}


def test_a_path_in_a_call_travels(tmp_path: Path) -> None:
    call = Call.from_json(app.note.call(str(tmp_path), 2).to_json())
    assert call.job == app.note.new_job((str(tmp_path), 2), {})
