"""What becomes of jobs, as results of the framework: run within the test's transaction."""

from __future__ import annotations

import pytest
from django.test import TestCase
from django.utils import timezone
from django.utils.safestring import mark_safe
from shop import tasks

import steadypool
from steadypool.contrib.django.framework import TaskResultDoesNotExist, TaskResultStatus, task_backends
from steadypool.contrib.django.testing import run_jobs
from steadypool.durable.engine.records import NewJob


class Results(TestCase):
    def test_a_job_that_returns(self) -> None:
        result = tasks.meaning.enqueue("why?")
        [ran] = run_jobs()
        assert ran.id == result.id and ran.status == "SUCCESSFUL" and ran.return_value == 42
        result.refresh()
        assert result.return_value == 42 and result.is_finished and result.attempts == 1
        assert result.worker_ids == ["run_jobs"] and result.errors == []
        assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
        assert result.finished_at <= timezone.now()
        assert tasks.meaning.get_result(result.id).args == ["why?"]  # kept, though the job has ended

    def test_a_job_that_fails(self) -> None:
        result = tasks.fail.enqueue("much")
        run_jobs(raises=False)
        result.refresh()
        assert result.status == "FAILED" and result.attempts == 1
        [error] = result.errors
        assert error.exception_class is ValueError and "ValueError: much" in error.traceback
        assert 'File "' in error.traceback and "in fail" in error.traceback
        with pytest.raises(ValueError, match="Task failed"):
            result.return_value  # noqa: B018

    def test_each_attempt_is_there(self) -> None:
        result = tasks.refuse.enqueue(7)
        first, second, third = run_jobs(raises=False)
        assert (first.status, first.attempts) == (second.status, second.attempts - 1) == ("READY", 1)
        assert third.id == result.id and third.status == "FAILED"
        assert third.attempts == 3 and [error.exception_class for error in third.errors] == [tasks.Refused] * 3
        assert third.started_at <= third.last_attempted_at <= third.finished_at

    def test_a_result_that_json_cannot_carry(self) -> None:
        result = tasks.return_a_date.enqueue()
        run_jobs(raises=False)
        result.refresh()
        assert result.status == "FAILED" and "Unsupported type" in result.errors[0].traceback
        assert issubclass(result.errors[0].exception_class, TypeError)

    def test_a_task_that_takes_its_context(self) -> None:
        result = tasks.tell.enqueue(9)
        run_jobs()
        result.refresh()
        assert result.return_value == [1, result.id, result.id, "RUNNING", 1, 9]

    def test_a_coroutine_function(self) -> None:
        result = tasks.save_async.enqueue(5)
        run_jobs()
        result.refresh()
        assert result.return_value == 1

    def test_one_that_was_cancelled(self) -> None:
        queue = task_backends["default"].queue
        result = tasks.noop.enqueue()
        assert queue.cancel(result.id)
        result.refresh()
        assert result.status == "FAILED" and result.worker_ids == [] and result.finished_at is not None
        assert [error.exception_class for error in result.errors] == [steadypool.JobCancelled]
        queue.retry(result.id)
        [ran] = run_jobs()
        assert ran.status == "SUCCESSFUL" and ran.errors == []

    def test_one_that_was_discarded_by_hand(self) -> None:
        result = tasks.noop.enqueue()
        task_backends["default"].queue.discard(result.id, "of no use any more")
        result.refresh()
        assert result.status == "FAILED"
        [error] = result.errors
        assert error.exception_class is steadypool.JobDiscarded and "of no use any more" in error.traceback

    def test_a_job_of_a_task_that_is_gone(self) -> None:
        queue = task_backends["default"].queue
        [placed] = queue.engine.put_many([NewJob("shop.gone", b"{}")])
        with pytest.raises(TaskResultDoesNotExist, match=r"is of shop.gone, which is no task here"):
            task_backends["default"].get_result(placed.id)

    def test_texts_and_numbers_of_other_types(self) -> None:
        """Such as a text that is marked as safe, or a choice of a model's: they are stored as what they are."""
        result = tasks.give_back.enqueue(mark_safe("<b>"), status=TaskResultStatus.READY)
        run_jobs()
        result.refresh()
        assert result.return_value == [["<b>"], {"status": "READY"}]
        assert type(result.return_value[0][0]) is str
