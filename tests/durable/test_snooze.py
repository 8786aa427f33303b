"""A job that says: not now."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import pytest

from steadypool import JobDiscarded, JobState, Queue, Snooze, ThreadPool
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_a_snoozed_job_comes_again_and_spends_no_attempt(queue: Queue, tmp_path: Path, kind: str) -> None:
    task = app.snooze_async if kind == "async" else app.snooze
    handle = task.enqueue(str(tmp_path), 2, 0.01)
    with Working(queue, kind=kind) as working:
        assert handle.result(WAIT) == [1, 1, 1]
        snoozed = working.wait_for("JobSnoozed", 2)
        assert (snoozed.job_id, snoozed.task, snoozed.delay) == (handle.id, task.durable_name, 0.01)
    assert not working.all("AttemptFailed") and not working.all("JobFailed")
    record = handle.record()
    assert (record.attempt, record.errors) == (1, ())
    assert working.report is not None and working.report.returned == 2 and working.report.ok
    assert not working.report.errors


@pytest.mark.every_engine
def test_meanwhile_it_is_scheduled_and_may_be_cancelled(queue: Queue, tmp_path: Path) -> None:
    handle = app.snooze.enqueue(str(tmp_path), 1, 3600)
    with Working(queue) as working:
        working.wait_for("JobSnoozed")
    record = handle.record()
    assert record.state is JobState.SCHEDULED and record.due_at is not None
    assert 3500 < record.due_at - queue.engine.now() <= 3600
    assert handle.cancel() and handle.state is JobState.CANCELLED


def test_a_snooze_in_a_bundle_is_that_of_its_job_alone(queue: Queue, tmp_path: Path) -> None:
    for name in range(60):
        (tmp_path / str(name)).mkdir()
    handles = queue.enqueue_many(app.snooze, [(str(tmp_path / str(name)), name % 2, 0.01) for name in range(60)])
    with Working(queue, kind="process", workers=1):
        assert [len(handle.result(WAIT)) for handle in handles] == [1, 2] * 30


def test_total_timeout_goes_on_while_a_job_is_snoozed(queue: Queue, tmp_path: Path) -> None:
    handle = app.snooze.options(total_timeout=0.5).enqueue(str(tmp_path), 1000, 0.1)
    with Working(queue), pytest.raises(JobDiscarded, match="total_timeout"):
        handle.result(WAIT)


def test_what_it_is_given() -> None:
    assert Snooze(timedelta(minutes=1)).seconds == 60.0 and Snooze(0).seconds == 0
    assert pickle.loads(pickle.dumps(Snooze(3))).seconds == 3
    with pytest.raises(TypeError, match=r"Snooze\(seconds\) must be a number of seconds"):
        Snooze("soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 or more"):
        Snooze(-1)


def test_in_a_pool_it_is_a_failure() -> None:
    def snooze() -> None:
        raise Snooze(1)

    with ThreadPool(1) as pool:
        assert isinstance(pool.submit(snooze).exception(), Snooze)
