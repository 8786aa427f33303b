"""Our options on the framework's tasks, and what is said of those that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from types import FunctionType
from typing import Any

import django
import pytest
from django.conf import settings
from django.test import TestCase, override_settings
from shop import tasks

from steadypool import Cron, Every, Limit, Retry
from steadypool.contrib.django import registry, task
from steadypool.contrib.django.framework import InvalidTask, task_backends
from steadypool.contrib.django.testing import run_jobs

theirs = import_module(settings.FRAMEWORK).task


def _work(user_id: int, *, deep: bool = False) -> None: ...


def shape(**more: Any) -> None: ...


def fresh(function: Callable[..., Any] = _work) -> Callable[..., Any]:
    """The same, as when its module is imported again."""
    made = FunctionType(function.__code__, globals(), function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


class Options(TestCase):
    def test_they_are_those_of_the_durable_task(self) -> None:
        made = task(
            timeout=timedelta(minutes=1),
            total_timeout=600,
            retry=Retry(4),
            tags=["a"],
            keep=60,
            kind="process",
            priority=3,
            checkpoint=int,
        )(fresh())
        durable = made.durable_task
        assert (durable.durable_name, durable.kind, durable.task_options.priority) == (made.module_path, "process", 3)
        assert durable.task_options.timeout == 60.0 and durable.task_options.retry == Retry(4)
        assert durable.enqueue_options.keep == 60 and durable.enqueue_options.tags == ("a",)
        assert durable.decode_checkpoint(b"7") == 7 and durable.states is not None
        plain = task(fresh()).durable_task
        assert plain.task_options.timeout is None and plain.enqueue_options.keep == 86_400

    @pytest.mark.skipif(django.VERSION[:2] == (6, 0), reason="the @task of Django 6.0 takes no options of a backend")
    def test_the_frameworks_own_decorator_takes_them(self) -> None:
        """Since Django 6.1, and in the backport."""
        assert theirs(timeout=5, unique="one")(fresh()).durable_task.task_options.timeout == 5

    def test_a_key_made_from_arguments(self) -> None:
        for unique, call, key in (
            ("user-{user_id}", lambda made: made.to_call(7), "user-7"),
            ("{user_id}-{deep}", lambda made: made.to_call(user_id=7), "7-False"),
            ("constant", lambda made: made.to_call(7), "constant"),
            ("{{{user_id}}}", lambda made: made.to_call(7), "{7}"),
            (lambda user_id, deep=False: f"{user_id % 2}", lambda made: made.to_call(7), "1"),
        ):
            assert call(task(unique=unique)(fresh())).job.unique == key
        assert task(unique="{size}")(shape).to_call(size=3).job.unique == "3"

    def test_mistakes_are_answered_when_the_module_is_imported(self) -> None:
        for options, said in (
            ({"timeout": -1}, "timeout must be"),
            ({"retry": 5}, "retry"),
            ({"unique": "user-{id}"}, r"names 'id', and the function has no such argument"),
            ({"unique": "user-{user_id.x}"}, "names of arguments in braces, and nothing else"),
            ({"unique_for": 60}, "give unique, too"),
            ({"kind": "fiber"}, "kind must be one of"),
            ({"schedule": "0 3 * * *"}, "schedule must be Cron"),
            (
                {"unique": "{user_id}", "schedule": Cron("@daily", args={"user_id": 1})},
                "is for calls, and a schedule puts jobs as well",
            ),
            ({"tags": "one"}, "tags must be"),
            ({"keep": -5}, "keep"),
            ({"checkpoint": object()}, "is no type that can be stored"),
        ):
            with pytest.raises(InvalidTask, match=said):
                task(**options)(fresh())
            with pytest.raises(InvalidTask, match=said):
                task(backend="dummy", **options)(fresh())
        with pytest.raises(TypeError, match="run_after is for one call"):
            task(run_after=None)(fresh())
        with pytest.raises(TypeError, match="priorty"):
            task(priorty=5)(fresh())

    def test_mistakes_of_one_call(self) -> None:
        with pytest.raises(TypeError, match=r'unknown option "timeot": did you mean "timeout"\?'):
            tasks.noop.using(timeot=5)
        with pytest.raises(TypeError, match=r"kind is the task's own"):
            tasks.noop.using(kind="process")
        with pytest.raises(InvalidTask, match="timeout must be"):
            tasks.noop.using(timeout="5")

    def test_a_schedule_gives_arguments_as_a_job_has_them(self) -> None:
        [(name, schedule)] = tasks.clean.durable_task.schedules
        assert name == "nightly" and schedule.args == {"args": [], "kwargs": {"deep": True}}
        with pytest.raises(InvalidTask, match="cannot be called like that: missing a required argument: 'user_id'"):
            task(schedule=Every(hours=1, args={"deep": True}))(fresh())

    def test_a_schedule_made_at_run_time(self) -> None:
        queue = task_backends["default"].queue
        queue.schedules.put("tenant-42", tasks.only_once.to_call(42, note="from data"), Every(hours=6))
        assert queue.schedules.get("tenant-42").next(1)
        queue.schedules.get("tenant-42").remove()

    def test_limits_and_lanes_count_by_arguments_of_the_call(self) -> None:
        by = [call.job.turn.lane.split("\x1f") for call in (tasks.charge.to_call(7), tasks.charge.to_call(tenant=8))]
        assert [one[-1] for one in by] == ["7", "8"] and all("7" in one or "8" in one for one in by)
        assert tasks.charge.to_call(7).job.turn.names == ("stripe", "tenant")
        assert tasks.charge.using(lane="tenant").to_call(7).job.turn.lane.endswith("tenant")
        assert task(lane=("user_id", "deep"))(fresh()).to_call(1, deep=True).job.turn.lane == '["1","True"]'
        assert task(lane=lambda user_id, deep=False: user_id % 2)(fresh()).to_call(7).job.turn.lane == "1"
        for wrong in ({"lane": "user"}, {"limit": Limit("a", running=1, by="user")}):
            with pytest.raises(InvalidTask, match=r"no parameter 'user': did you mean 'user_id'\?"):
                task(**wrong)(fresh())
        with pytest.raises(TypeError, match="limit is the task's own"):
            tasks.charge.using(limit=Limit("a", running=1))

    def test_a_limit_holds_jobs_back(self) -> None:
        first, second, third = tasks.charge.enqueue(1), tasks.charge.enqueue(1, amount=2), tasks.charge.enqueue(2)
        ran = run_jobs()
        assert {one.id for one in ran} == {first.id, third.id}
        second.refresh()
        assert second.status == "READY"
        assert "tenant" in task_backends["default"].queue.record(second.id).held_by

    def test_a_module_that_is_imported_again(self) -> None:
        first, second = task(fresh()), task(fresh())
        assert registry.task_at(first.module_path) is second
        assert first.durable_task is second.durable_task

    @override_settings(TASKS={"default": {"BACKEND": "steadypool.contrib.django.testing.DummyBackend"}})
    def test_a_module_with_our_options_under_the_dummy(self) -> None:
        made = task(timeout=1, retry=Retry(2), schedule=Cron("@daily", args={"user_id": 1}))(fresh())
        assert made.enqueue(1).status == "READY" and task_backends["default"].results[0].args == [1]
