"""Workers that are killed, and those of several backends."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.db import connections, transaction
from shop import tasks
from shop.models import Order

import steadypool
from steadypool.contrib.django import queues
from steadypool.contrib.django.framework import task_backends
from tests.cli.stage import Stage
from tests.contrib.django.inside.conftest import Manage, most_connections
from tests.durable.working import Working

pytestmark = pytest.mark.usefixtures("committed")
LONG = bool(os.environ.get("STEADYPOOL_TEST_LONG"))
LEASE = 6.0 if LONG else 1.0
OTHERS = ("other", "elsewhere")


def test_a_worker_that_is_killed(manage: Manage, stage: Stage) -> None:
    result = tasks.wait_for_the_test.enqueue("it")
    first = manage.start("steadypool", "work", "--lease", str(LEASE), "--name", "first")
    begun = stage.enter()
    result.refresh()
    assert result.status == "RUNNING" and result.worker_ids == ["first"] and result.attempts == 1
    with Working(queues.default, name="second", lease=LEASE):
        first.send_signal(signal.SIGKILL)
        again = stage.enter()
        result.refresh()
        assert result.status == "RUNNING" and result.worker_ids == ["first", "second"] and result.attempts == 2
        token, later = begun.line.split()[2], again.line.split()[2]
        assert token.partition(":")[0] == later.partition(":")[0] and token != later  # the same job, claimed anew
        assert [error.exception_class for error in result.errors] == [steadypool.WorkerCrashed]
        again.tell("done")
    result.refresh()
    assert result.return_value[0] == "done" and result.started_at < result.last_attempted_at


def test_persistent_connections_and_other_backends(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker knows the tasks of all backends; a task may be enqueued on any of them.

    It has a connection for each slot and two more, and its helper one.
    """
    if "pooled" in connections.settings:
        results = {"pooled": enqueue_behind_a_pooler()}
    else:
        results = {name: tasks.meaning.using(backend=name, queue_name="default").enqueue() for name in OTHERS}
    saved = [tasks.save.enqueue(number) for number in range(50)]
    connections.close_all()
    capfd.readouterr()
    connections["default"].ensure_connection()
    before = sum(most_connections(capfd.readouterr().err).values())  # this one, and those of earlier tests' threads
    assert queues.default.work(workers=4, until_empty=True).completed == 50
    assert sum(most_connections(capfd.readouterr().err).values()) <= before + 4 + 2
    for name in results:
        names = tuple(task_backends[name].queues)
        assert getattr(queues, name).work(workers=1, until_empty=True, queues=names or ("default",)).completed == 1
    for name, result in results.items():
        result.refresh()
        assert result.return_value == 42 and result.backend == name
    saved[-1].refresh()
    assert saved[-1].status == "SUCCESSFUL" and Order.objects.count() == 50


def enqueue_behind_a_pooler() -> Any:
    """With PgBouncer in transaction mode between Django and the server."""
    task = tasks.meaning.using(backend="pooled", queue_name="pooled")
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="pooled"):
        task.enqueue()
        raise ZeroDivisionError
    with transaction.atomic(using="pooled"):
        result = task.enqueue("pooled")
        assert task.get_result(result.id) == result
    assert [record.id for record in task_backends["pooled"].queue.list(queue="pooled")] == [result.id]
    connections["pooled"].close()
    return result
