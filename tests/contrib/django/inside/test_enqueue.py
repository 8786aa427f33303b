"""The framework's own tests of backends, as far as they are about enqueueing and looking, in our words."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.conf import settings
from django.test import TestCase, override_settings
from django.utils import timezone
from shop import tasks

from steadypool.contrib.django import SteadypoolBackend, SteadypoolTask, framework
from steadypool.contrib.django.framework import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist, task_backends

exceptions = import_module(f"{settings.FRAMEWORK}.exceptions")
declare = import_module(settings.FRAMEWORK).task


class Enqueue(TestCase):
    databases = ("default", "other")

    def test_what_the_backend_can_do(self) -> None:
        backend = task_backends["default"]
        assert isinstance(backend, SteadypoolBackend)
        assert backend.supports_defer and backend.supports_async_task
        assert backend.supports_get_result and backend.supports_priority

    def test_a_task_is_one_of_ours(self) -> None:
        for task in (tasks.noop, tasks.noop_async, tasks.meaning, declare(tasks.noop.func)):
            assert isinstance(task, SteadypoolTask) and isinstance(task, framework.Task)
        assert tasks.noop.name == "noop" and tasks.noop.module_path == "shop.tasks.noop"

    def test_a_result_says_what_was_enqueued(self) -> None:
        result = tasks.noop.enqueue(1, two="2")
        assert result.status == "READY" and result.task == tasks.noop
        assert (result.args, result.kwargs) == ([1], {"two": "2"})
        assert result.backend == "default" and not result.is_finished and result.attempts == 0
        assert result.started_at is result.finished_at is result.last_attempted_at is None
        assert abs(result.enqueued_at - timezone.now()) < timedelta(minutes=5)
        assert len(result.id) < 64
        with pytest.raises(ValueError, match="not finished"):
            result.return_value  # noqa: B018

    async def test_it_is_enqueued_from_asyncio_in_the_same_transaction(self) -> None:
        result = await tasks.noop.aenqueue(1)
        assert await tasks.noop.aget_result(result.id) == result
        await result.arefresh()

    def test_what_json_cannot_carry_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"Unsupported type.*datetime"):
            tasks.noop.enqueue(datetime.now())
        with pytest.raises(TypeError, match=r"Unsupported type.*set"):
            tasks.noop.enqueue(found={1})

    def test_arguments_arrive_as_the_framework_has_them(self) -> None:
        result = tasks.give_back.enqueue((1, 2), b"bytes", deep={"a": (None, True, 1.5)})
        assert result.args == [[1, 2], "bytes"] and result.kwargs == {"deep": {"a": [None, True, 1.5]}}
        assert tasks.give_back.get_result(result.id).args == result.args

    def test_a_call_that_does_not_fit_the_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"shop.tasks.save\(.*cannot be called like that: missing"):
            tasks.save.enqueue()
        with pytest.raises(TypeError, match="unexpected keyword argument 'timeout'"):
            tasks.save.enqueue(1, timeout=5)
        assert tasks.tell.enqueue(1).args == [1]

    def test_using_makes_another_task(self) -> None:
        now = timezone.now()
        changed = tasks.noop.using(priority=10).using(run_after=now).using(queue_name="mail")
        assert (changed.priority, changed.run_after, changed.queue_name) == (10, now, "mail")
        assert (tasks.noop.priority, tasks.noop.run_after, tasks.noop.queue_name) == (0, None, "default")
        same = tasks.noop.using()
        assert same == tasks.noop and same is not tasks.noop

    def test_priority_queue_and_moment_travel(self) -> None:
        later = datetime(2050, 1, 1, tzinfo=UTC)
        result = tasks.noop.using(priority=-7, queue_name="mail", run_after=later).enqueue()
        record = task_backends["default"].queue.record(result.id)
        assert (record.priority, record.queue, record.state.value) == (-7, "mail", "scheduled")
        assert record.due_at == later.timestamp()
        found = tasks.noop.get_result(result.id)
        assert found.status == "READY" and (found.task.priority, found.task.queue_name) == (-7, "mail")
        assert tasks.meaning.enqueue().task.priority == 5

    def test_a_moment_without_a_zone(self) -> None:
        with pytest.raises(InvalidTask, match="run_after must be an aware datetime"):
            tasks.noop.using(run_after=datetime(2050, 1, 1))
        with override_settings(USE_TZ=False):
            result = tasks.noop.using(run_after=datetime(2050, 1, 1)).enqueue()
            assert timezone.is_naive(result.enqueued_at)
        due = task_backends["default"].queue.record(result.id).due_at
        assert due == timezone.make_aware(datetime(2050, 1, 1)).timestamp()

    def test_priorities_are_whole_numbers_up_to_a_hundred(self) -> None:
        for priority in (-101, 101, 3.1):
            with pytest.raises(InvalidTask, match="whole number between -100 and 100"):
                tasks.noop.using(priority=priority)
        for priority in (-100, 100):
            assert tasks.noop.using(priority=priority).enqueue().task.priority == priority

    def test_what_is_not_there(self) -> None:
        with pytest.raises(InvalidTask, match="Queue 'slow' is not valid"):
            tasks.noop.using(queue_name="slow")
        assert tasks.noop.using(queue_name="slow", backend="other").queue_name == "slow"
        with pytest.raises(InvalidTaskBackend, match="'unknown' doesn't exist"):
            tasks.noop.using(backend="unknown")
        for wrong in ("123", "job-1-0000000000", "", "\0", "x" * 1000, "\ud800"):
            with pytest.raises(TaskResultDoesNotExist):
                tasks.noop.get_result(wrong)

    async def test_what_is_not_there_from_asyncio(self) -> None:
        with pytest.raises(TaskResultDoesNotExist):
            await tasks.noop.aget_result("123")

    def test_the_result_of_another_task(self) -> None:
        result = tasks.noop_async.enqueue()
        with pytest.raises(exceptions.TaskResultMismatch, match="Task does not match"):
            tasks.noop.get_result(result.id)
        assert task_backends["default"].get_result(result.id) == result

    def test_functions_that_cannot_be_tasks(self) -> None:
        for wrong in (any, self.test_functions_that_cannot_be_tasks, lambda: None):
            with pytest.raises(InvalidTask, match="module level"):
                declare(wrong)
        with pytest.raises(InvalidTask, match="first argument of 'context'"):
            declare(takes_context=True)(tasks.meaning.func)

    def test_it_is_called_without_a_queue(self) -> None:
        assert tasks.meaning.call() == 42 and tasks.noop_async.call() is None

    async def test_it_is_called_from_asyncio_without_a_queue(self) -> None:
        assert await tasks.meaning.acall() == 42 and await tasks.noop_async.acall() is None

    def test_refresh_looks_again(self) -> None:
        result = tasks.noop.enqueue()
        before = dataclasses.asdict(result)
        result.refresh()
        assert dataclasses.asdict(result) == before

    def test_tasks_and_results_are_pickled(self) -> None:
        assert pickle.loads(pickle.dumps(tasks.hang)) == tasks.hang
        changed = tasks.noop.using(timeout=5, priority=3)
        assert pickle.loads(pickle.dumps(changed)) == changed

    @override_settings(TASKS={})
    def test_no_backend(self) -> None:
        with pytest.raises(InvalidTaskBackend):
            tasks.noop.enqueue()
