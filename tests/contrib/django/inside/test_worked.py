"""What one worker makes of jobs of all kinds: ``manage.py steadypool work --until-empty``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from django.db import connections
from shop import jobs, tasks
from shop.models import Order, Signal

import steadypool
from steadypool.contrib.django.connection import PATIENCE
from steadypool.contrib.django.framework import task_backends
from tests.contrib.django.inside.conftest import Manage, clear, most_connections, refreshed
from tests.patience import WAIT

WORKERS, PROCESSES, COROUTINES = 4, 1, 2
MANY = bool(os.environ.get("STEADYPOOL_TEST_LONG")) and connections["default"].vendor == "postgresql"
ORM_JOBS = 1000 if MANY else 60


class Worked(NamedTuple):
    """What was enqueued, and the worker that has run it."""

    results: dict[str, Any]
    saved: list[Any]
    ran: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def worked(tables: None) -> Iterator[Worked]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJECT_SIGNALS", "noop,refuse,hang")
        results = {
            "in another queue": tasks.meaning.enqueue(),
            "async": tasks.save_async.enqueue(20_000),
            "context": tasks.tell.enqueue(3),
            "of a module that the settings name": jobs.elsewhere.enqueue(),
            "plain": tasks.noop.using(backend="stock").using(backend="default").enqueue(),
            "fails": tasks.refuse.enqueue(100),
            "fails once": tasks.refuse.using(retry=steadypool.Retry(1)).enqueue(200),
            "hangs": tasks.hang.using(timeout=0.3).enqueue(),
            "patient": tasks.busy_timeout.enqueue(),
            "tagged": tasks.noop.using(tags=["tenant:42"], meta={"of": "tests"}, keep=60).enqueue(),
        }
        assert task_backends["default"].queue.record(results["tagged"].id).tags == ("tenant:42",)
        other = {3: tasks.save_in_process, 5: tasks.save_async, 8: tasks.save_async}
        saved = [other.get(number % 10, tasks.save).enqueue(number) for number in range(ORM_JOBS)]
        with closing(Manage()) as manage:
            words = ["--until-empty", f"--workers={WORKERS}", f"--processes={PROCESSES}", f"--coroutines={COROUTINES}"]
            ran = manage.run("steadypool", "work", *words, PROJECT_CONN_MAX_AGE="0")
        yield Worked(refreshed(results), saved, ran)
    clear()


def test_it_runs_all_and_ends(worked: Worked) -> None:
    assert worked.ran.returncode == 0, worked.ran.stderr
    values = {name: result.return_value for name, result in worked.results.items() if result.status == "SUCCESSFUL"}
    job = worked.results["context"].id
    assert values == {
        "in another queue": 42,
        "async": 1,
        "context": [1, job, job, "RUNNING", 1, 3],
        "of a module that the settings name": "found",
        "patient": PATIENCE if connections["other"].vendor == "sqlite" else None,
        "plain": None,
        "tagged": None,
    }
    assert all(result.attempts == 1 for result in worked.results.values() if result.status == "SUCCESSFUL")


def test_a_job_fails_as_often_as_its_rule_says(worked: Worked) -> None:
    for name, attempts in (("fails", 3), ("fails once", 1)):
        result = worked.results[name]
        assert result.status == "FAILED" and result.attempts == len(result.errors) == attempts
        assert {error.exception_class for error in result.errors} == {tasks.Refused}
    assert set(Order.objects.filter(number__gte=10_000).values_list("number", flat=True)) == {
        *(10_001, 10_002, 10_003),
        *(20_000, 20_001),
    }


def test_a_time_limit_ends_a_job_that_hangs(worked: Worked) -> None:
    result = worked.results["hangs"]
    assert result.status == "FAILED" and result.attempts == 1
    [error] = result.errors
    assert error.exception_class is steadypool.JobTimeout and "while True" in error.traceback
    assert (result.finished_at - result.started_at).total_seconds() < WAIT


def test_signals_come_in_order(worked: Worked) -> None:
    done, refused, late = (worked.results[name].id for name in ("tagged", "fails", "hangs"))
    assert received(done) == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]
    assert received(refused) == [("enqueued", "READY"), *[("started", "RUNNING")] * 3, ("finished", "FAILED")]
    assert received(late) == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "FAILED")]
    assert "Refused('order 100')" in Signal.objects.get(job=refused, name="finished").error
    at = {one.name: one.process for one in Signal.objects.filter(job=late)}
    assert at["enqueued"] == os.getpid()
    assert len(set(at.values())) == 3  # the process of the job was killed: the worker's has said that it is finished


def received(job: str) -> list[tuple[str, str]]:
    return [(one.name, one.status) for one in Signal.objects.filter(job=job).order_by("id")]


def test_jobs_that_use_the_database(worked: Worked) -> None:
    """Here each closes its connection, by ``CONN_MAX_AGE=0``."""
    assert Order.objects.filter(number__lt=10_000).count() == ORM_JOBS
    for result in worked.saved[:: ORM_JOBS // 10]:
        result.refresh()
        assert result.status == "SUCCESSFUL" and result.errors == []
    if connections["default"].vendor == "postgresql":
        *processes, worker = sorted(most_connections(worked.ran.stderr).values())
        # Of the worker's own three one is the helper's. One more: receivers of the signals of failures.
        assert set(processes) == {1} and worker <= WORKERS + COROUTINES + 2 + 1
