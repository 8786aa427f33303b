"""A job is there if and only if the transaction commits in which it was enqueued."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import connections, transaction
from shop import tasks
from shop.models import Order

from steadypool import Queue
from steadypool.contrib.django.framework import TaskResultDoesNotExist, task_backends
from steadypool.contrib.django.testing import run_jobs
from tests.patience import WAIT

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def outside() -> Iterator[Queue]:
    """The same queue over a connection of its own: it sees what has been committed."""
    with Queue(task_backends["default"].queue.url) as queue:
        yield queue


def test_no_job_without_the_rows(outside: Queue) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Order.objects.create(number=1)
        result = tasks.save.enqueue(1)
        assert result.enqueued_at is not None and tasks.save.get_result(result.id) == result
        raise ZeroDivisionError
    assert outside.list() == [] and not Order.objects.exists()
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_one_job_with_them(outside: Queue) -> None:
    with transaction.atomic():
        Order.objects.create(number=1)
        result = tasks.save.enqueue(1)
        assert outside.list() == []
    assert [record.id for record in outside.list()] == [result.id] and Order.objects.count() == 1


def test_a_savepoint_takes_its_jobs_along(outside: Queue) -> None:
    with transaction.atomic():
        kept = tasks.save.enqueue(1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tasks.save.enqueue(2)
            raise ZeroDivisionError
        with transaction.atomic():
            inner = tasks.save.enqueue(3)
    assert {record.id for record in outside.list()} == {kept.id, inner.id}


def test_outside_of_a_transaction_it_is_there_at_once(outside: Queue) -> None:
    result = tasks.noop.enqueue()
    assert outside.record(result.id).task == "shop.tasks.noop"
    assert not connections["default"].in_atomic_block


def test_an_open_transaction_holds_up_nobody_on_postgres(outside: Queue) -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("SQLite lets one transaction write at a time")
    with transaction.atomic():
        tasks.save.enqueue(1)
        thread = threading.Thread(target=enqueue_elsewhere, daemon=True)
        thread.start()
        thread.join(WAIT)
        assert not thread.is_alive() and [record.task for record in outside.list()] == ["shop.tasks.noop"]


def enqueue_elsewhere() -> None:
    tasks.noop.enqueue()
    connections.close_all()


def test_a_look_waits_for_no_one_that_writes(outside: Queue) -> None:
    result = tasks.noop.enqueue()
    if connections["default"].vendor == "sqlite":
        with closing(sqlite3.connect(connections["default"].settings_dict["NAME"])) as writer:
            writer.execute("BEGIN IMMEDIATE")
            assert tasks.noop.get_result(result.id) == result
    assert connections["default"].get_autocommit() and not connections["default"].in_atomic_block


def test_calls_are_put_there_too(outside: Queue) -> None:
    queue = task_backends["default"].queue
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.put_many([tasks.save.to_call(1), tasks.meaning.to_call()])
        raise ZeroDivisionError
    assert outside.list() == []
    with transaction.atomic():
        first = queue.put(tasks.save.to_call(1))
        following = tasks.save.using(after=[first]).enqueue(2)
        last = tasks.save.using(after=[following, first.id], needs="end").enqueue(3)
    states = {record.id: record.state.value for record in outside.list()}
    assert states == {first.id: "available", following.id: "waiting", last.id: "waiting"}
    assert following.status == last.status == "READY"
    assert [ran.id for ran in run_jobs()] == [first.id, following.id, last.id]


def test_each_database_has_its_own(outside: Queue) -> None:
    with transaction.atomic(using="other"), pytest.raises(ZeroDivisionError), transaction.atomic():
        there = tasks.save.using(backend="other").enqueue(1)
        tasks.save.enqueue(2)
        raise ZeroDivisionError
    assert outside.list() == []
    assert task_backends["other"].get_result(there.id).task.backend == "other"


def test_another_store_is_no_part_of_the_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        result = tasks.meaning.using(backend="elsewhere", queue_name="default").enqueue()
        raise ZeroDivisionError
    found = task_backends["elsewhere"].get_result(result.id)
    assert found.id == result.id and found.backend == "elsewhere" and found.task.func is tasks.meaning.func
    task_backends["elsewhere"].queue.discard(result.id)


def test_a_key_that_is_taken() -> None:
    first = tasks.only_once.enqueue(7, note="first")
    with transaction.atomic():
        again = tasks.only_once.enqueue(number=7, note="again")
        other = tasks.only_once.enqueue(8)
        changed = tasks.only_once.using(on_taken="replace").enqueue(7, note="changed")
    assert again.id == first.id == changed.id != other.id
    assert again.args == [7] and again.kwargs == {"note": "first"}
    first.refresh()
    assert tasks.only_once.get_result(first.id).kwargs == {"note": "changed"}
