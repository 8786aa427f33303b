"""Callers who share a commit: one's trouble is no other's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from steadypool import JobState, Queue
from steadypool.durable.client import group_commit
from steadypool.durable.engine.errors import EngineBusy, EngineError, EngineRefused, KeyBusy
from steadypool.durable.engine.records import NewJob
from steadypool.model.errors import SteadypoolError
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.pools.contract.stage import WAIT

GUILTY = {
    "half of a pair": {"unique": "a\udce9"},
    "a number too large": {"priority": 2**70},
    "no number": {"delay": "soon"},
}
"""What `enqueue` itself would refuse, and any engine must, should it come by another way."""


def job(**more: Any) -> NewJob:
    return app.add.new_job((1,), {})._replace(**more)


def counted(queue: Queue) -> int:
    return sum(row.available for row in queue.stats().queues)


@pytest.mark.every_engine
@pytest.mark.parametrize("what", GUILTY)
def test_who_brings_what_cannot_be_stored_gets_the_error_alone(
    queue: Queue, engine_kind: EngineKind, url: str, what: str
) -> None:
    app.add.enqueue(0)
    with engine_kind.hold(url):  # while it is held a batch gathers
        innocent = [queue.writer.put_soon([job()]) for _ in range(20)]
        guilty = [queue.writer.put_soon([job(**GUILTY[what])]) for _ in range(2)]
        innocent += [queue.writer.put_soon([job(), job()]) for _ in range(20)]
    assert sum(len(future.result(WAIT)) for future in innocent) == 60
    for future in guilty:
        error = future.exception(WAIT)
        assert isinstance(error, SteadypoolError), error
        assert isinstance(error, EngineError) and error.nothing_happened and "nothing was enqueued" in str(error)
        assert not isinstance(error, EngineBusy)
    assert counted(queue) == 61
    assert app.add.enqueue(1).enqueued


# -- PostgreSQL alone: on SQLite a transaction that writes keeps everybody from writing, whatever the key


@pytest.fixture
def postgres_queue(engine_kind: EngineKind, queue: Queue) -> Queue:
    if engine_kind.name != "postgres":
        pytest.skip("one transaction writes to a file at a time")
    return queue


@contextmanager
def open_transaction(url: str, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    """One that has put a job with that key, and has not ended."""
    with psycopg.connect(url) as connection:
        app.add.options(**options).enqueue(1, connection=connection)
        yield connection
        connection.rollback()


@contextmanager
def not_by_a_busy_server() -> Iterator[None]:
    """Pass over the error of a server that has not had its turn for as long as the engine is patient."""
    try:
        yield
    except KeyBusy:
        raise
    except EngineError:
        pass


def in_thread(task: Any) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(task.enqueue(2))
        except SteadypoolError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


@pytest.mark.every_engine
@pytest.mark.parametrize("option", ["unique", "id"])
def test_an_open_transaction_holds_up_its_own_key_alone(postgres_queue: Queue, url: str, option: str) -> None:
    with open_transaction(url, **{option: "user:1"}) as connection:
        waits, outcome = in_thread(app.add.options(**{option: "user:1"}))
        others = [app.add, app.add.options(unique="user:2"), app.add.options(id="order-2")]
        handles = [other.enqueue(number) for number in range(10) for other in others[: 1 if number else 3]]
        assert len({handle.job_id for handle in handles}) == len(handles)
        many = postgres_queue.enqueue_many(app.add, [(number,) for number in range(100)])
        assert len(many) == 100 and not outcome and waits.is_alive()
        connection.commit()
    waits.join(WAIT)
    assert not outcome[0].enqueued, "it is the one of the transaction"


@pytest.mark.every_engine
def test_it_is_enqueued_when_the_transaction_is_rolled_back(postgres_queue: Queue, url: str) -> None:
    with open_transaction(url, unique="k") as connection:
        waits, outcome = in_thread(app.add.options(unique="k"))
        for number in range(5):
            app.add.options(unique=f"other {number}").enqueue(number)
        assert waits.is_alive()
        connection.rollback()
        waits.join(WAIT)
    assert outcome[0].enqueued


@pytest.mark.every_engine
def test_it_is_told_after_as_long_as_the_engine_is_patient(postgres_queue: Queue, url: str) -> None:
    app.add.enqueue(0)
    postgres_queue.writer._engine.timeout = 0.5
    with open_transaction(url, unique="k"):
        began = time.monotonic()
        with pytest.raises(KeyBusy, match=r"has been open for 0.5 s.*nothing was enqueued"):
            while True:
                with not_by_a_busy_server():
                    app.add.options(unique="k").enqueue(1)
        assert time.monotonic() - began >= 0.5
        assert not postgres_queue.writer._aside
    postgres_queue.writer._engine.timeout = 10.0
    assert app.add.options(unique="k").enqueue(1).enqueued


@pytest.mark.every_engine
def test_a_retry_does_not_wait_long_for_a_key(postgres_queue: Queue, url: str) -> None:
    """Who looks at other jobs waits for it."""
    handle = app.add.options(unique="k").enqueue(1)
    handle.cancel()
    with open_transaction(url, unique="k"):
        with pytest.raises(EngineBusy):
            postgres_queue.retry(handle.job_id)
    assert handle.state is JobState.CANCELLED
    postgres_queue.retry(handle.job_id)
    assert handle.state is JobState.AVAILABLE


@pytest.mark.every_engine
def test_many_large_rows_are_put_in_several_transactions(queue: Queue) -> None:
    app.add.enqueue(0)
    put = queue.writer.put
    sizes: list[int] = []
    queue.writer.put = lambda jobs: sizes.append(len(jobs)) or put(jobs)  # type: ignore[func-returns-value,method-assign]
    handles = queue.enqueue_many(app.note, [("x" * 900_000, number) for number in range(20)])
    queue.writer.put = put  # type: ignore[method-assign]
    assert len(handles) == 20 == sum(sizes) and max(sizes) <= 9
    assert [handle._key[0] for handle in handles] == sorted(handle._key[0] for handle in handles), "in their order"


@pytest.mark.every_engine
def test_closing_gives_up_what_waits(postgres_queue: Queue, url: str) -> None:
    with open_transaction(url, unique="k"):
        future = postgres_queue.writer.put_soon([job(unique="k")])
        app.add.enqueue(1)
        postgres_queue.close()
        with pytest.raises(KeyBusy):
            future.result(WAIT)


def test_what_an_engine_cannot_take_is_no_error_of_its_driver() -> None:
    from steadypool.durable.client.group_commit import _copy

    error = _copy(OverflowError("Python int too large to convert to SQLite INTEGER"))
    assert isinstance(error, EngineRefused) and "OverflowError" in str(error) and error.nothing_happened


# -- lingering: a batch gathers again after a commit


def batches_of(queue: Queue) -> list[int]:
    """The sizes of the writer's batches from now on."""
    sizes: list[int] = []
    write = queue.writer._write
    queue.writer._write = lambda batch: sizes.append(len(batch)) or write(batch)  # type: ignore[func-returns-value,method-assign]
    return sizes


@pytest.mark.every_engine
def test_a_batch_waits_until_as_many_have_gathered_again(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LONGEST_LINGER", WAIT)
    app.add.enqueue(0)
    sizes = batches_of(queue)
    queue.writer._last_batch, queue.writer._last_seconds = 3, WAIT
    first, outcome = in_thread(app.add)
    others = [queue.writer.put_soon([job()]) for _ in range(2)]
    first.join(WAIT)
    assert outcome[0].enqueued and all(other.result(WAIT) for other in others)
    assert sizes == [3]


@pytest.mark.every_engine
def test_company_that_does_not_come_is_not_awaited_again(queue: Queue) -> None:
    app.add.enqueue(0)
    sizes = batches_of(queue)
    queue.writer._last_batch, queue.writer._last_seconds = 50, 0.001
    for number in range(3):
        app.add.enqueue(number)
    assert sizes == [1, 1, 1] and queue.writer._last_batch == 1


@pytest.mark.every_engine
def test_one_caller_alone_never_waits_for_company(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    app.add.enqueue(0)
    waits: list[float | None] = []
    monkeypatch.setattr(queue.writer._gathered, "wait", waits.append)
    for number in range(5):
        app.add.enqueue(number)
        in_thread(app.add)[0].join(WAIT)
    assert not waits and counted(queue) == 11


def test_callers_of_many_threads_share_commits_and_lose_nothing(
    queue: Queue, engine_kind: EngineKind, url: str
) -> None:
    app.add.enqueue(0)
    sizes = batches_of(queue)
    added = threading.Semaphore(0)
    add = queue.writer._add
    queue.writer._add = lambda put: (add(put), added.release())  # type: ignore[assignment,method-assign]

    def enqueue_some() -> None:
        for number in range(20):
            assert app.add.enqueue(number).enqueued

    threads = [threading.Thread(target=enqueue_some) for _ in range(8)]
    with engine_kind.hold(url):  # one of them writes, and waits: the others gather behind it
        for thread in threads:
            thread.start()
        assert all(added.acquire(timeout=WAIT) for _ in threads)
    for thread in threads:
        thread.join(WAIT)
    assert sum(sizes) == 160 and counted(queue) == 161
    assert max(sizes) > 1
