"""What a task's options may be, and how they go together."""

from __future__ import annotations

import math
import pickle
from functools import partial
from typing import Any

import pytest

from steadypool import Retry, Task, task
from steadypool.model.checks import check_count, check_seconds
from steadypool.model.options import TaskOptions, task_name


@pytest.mark.parametrize(
    ("kwargs", "error", "word"),
    [
        ({"attempts": 0}, ValueError, "attempts"),
        ({"attempts": -1}, ValueError, "attempts"),
        ({"attempts": 2.0}, TypeError, "attempts"),
        ({"attempts": True}, TypeError, "attempts"),
        ({"attempts": "3"}, TypeError, "attempts"),
        ({"attempts": 2, "on": "OSError"}, TypeError, "on"),
        ({"attempts": 2, "on": (OSError, 5)}, TypeError, "on"),
        ({"attempts": 2, "on": OSError()}, TypeError, "on"),
        ({"attempts": 2, "on": int}, TypeError, "on"),
        ({"attempts": 2, "give_up_on": [OSError]}, TypeError, "give_up_on"),
        ({"attempts": 2, "backoff": -0.1}, ValueError, "backoff"),
        ({"attempts": 2, "backoff": "1"}, TypeError, "backoff"),
        ({"attempts": 2, "backoff": math.nan}, ValueError, "backoff"),
        ({"attempts": 2, "max_backoff": -1}, ValueError, "max_backoff"),
        ({"attempts": 2, "factor": 0.5}, ValueError, "factor"),
        ({"attempts": 2, "factor": math.nan}, ValueError, "factor"),
        ({"attempts": 2, "factor": "2"}, TypeError, "factor"),
    ],
)
def test_a_retry_that_makes_no_sense(kwargs: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=rf"Retry\({word}\)"):
        Retry(**kwargs)


def test_a_retry_may_wait_nothing_at_all() -> None:
    assert Retry(2, backoff=0, max_backoff=0, factor=1).backoff == 0


@pytest.mark.parametrize(
    ("kwargs", "error", "word"),
    [
        ({"name": ""}, TypeError, "name"),
        ({"name": 5}, TypeError, "name"),
        ({"id": ""}, TypeError, "id"),
        ({"id": 42}, TypeError, "id"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": "5"}, TypeError, "timeout"),
        ({"timeout": True}, TypeError, "timeout"),
        ({"timeout": math.nan}, ValueError, "timeout"),
        ({"total_timeout": 0}, ValueError, "total_timeout"),
        ({"total_timeout": object()}, TypeError, "total_timeout"),
        ({"retry": 3}, TypeError, "retry"),
        ({"retry": Retry}, TypeError, "retry"),
        ({"priority": 1.5}, TypeError, "priority"),
        ({"priority": None}, TypeError, "priority"),
        ({"meta": [("tenant", "a")]}, TypeError, "meta"),
    ],
)
def test_an_option_that_makes_no_sense(kwargs: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        task(print, **kwargs)
    with pytest.raises(error, match=word):
        task(print).options(**kwargs)


@pytest.mark.parametrize("priority", [-10, 0, 10**9])
def test_a_priority_may_be_any_whole_number(priority: int) -> None:
    assert task(print, priority=priority).task_options.priority == priority


@pytest.mark.parametrize(
    ("changes", "plain", "bare"),
    [
        ({}, True, True),
        ({"name": "n"}, True, False),
        ({"id": "i"}, True, False),
        ({"meta": {"a": 1}}, True, False),
        ({"meta": {}}, True, True),
        ({"timeout": 1}, False, False),
        ({"total_timeout": 1}, False, False),
        ({"retry": Retry(2)}, False, False),
        ({"priority": -1}, False, False),
    ],
)
def test_which_options_take_the_fast_path(changes: dict[str, Any], plain: bool, bare: bool) -> None:
    options = TaskOptions(**changes)
    assert (options.plain, options.bare) == (plain, bare)


def test_what_is_not_set_comes_from_the_pool() -> None:
    retry = Retry(3)
    merged = TaskOptions(timeout=1).over(TaskOptions(timeout=9, total_timeout=20, retry=retry))
    assert (merged.timeout, merged.total_timeout, merged.retry) == (1, 20, retry)


@pytest.mark.parametrize("name", ["timeout", "total_timeout"])
def test_no_limit_wins_over_the_pools_limit(name: str) -> None:
    merged = TaskOptions(**{name: math.inf}).over(TaskOptions(**{name: 9}))
    assert getattr(merged, name) is None
    assert merged.plain


def test_options_over_a_pools_are_remembered_for_that_pool() -> None:
    fetch, one, other = task(print, timeout=1), TaskOptions(retry=Retry(2)), TaskOptions()
    assert fetch.merged(one) is fetch.merged(one)
    assert fetch.merged(other).retry is None
    assert fetch.merged(one).retry == Retry(2)


# -- tasks


@task(timeout=5)
def double(x: int) -> int:
    """Twice x."""
    return 2 * x


class Shop:
    """Has a task among its methods."""

    def __init__(self, price: int) -> None:
        self.price = price

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shop) and other.price == self.price

    __hash__ = None  # type: ignore[assignment]

    @task(timeout=7)
    def total(self, n: int) -> int:
        """The price of n."""
        return self.price * n


def test_a_task_is_still_the_function() -> None:
    assert double(4) == 8
    assert double.__name__ == "double" and double.__doc__ == "Twice x."
    assert double.__wrapped__ is double.fn  # type: ignore[attr-defined]


def test_options_make_a_copy() -> None:
    changed = double.options(id="order-42", priority=3)
    assert changed is not double and changed(4) == 8
    assert (changed.task_options.timeout, changed.task_options.id) == (5, "order-42")
    assert double.task_options.id is None


def test_an_option_that_does_not_exist_is_named_with_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"retries.*\bretry\b"):
        double.options(retries=3)


@pytest.mark.parametrize("not_a_function", [5, None, "print"])
def test_a_task_needs_a_function(not_a_function: Any) -> None:
    with pytest.raises(TypeError, match="needs a function"):
        Task(not_a_function, TaskOptions())


def test_a_task_of_a_task_names_the_right_call() -> None:
    with pytest.raises(TypeError, match=r"\.options\("):
        task(double, timeout=1)


def test_a_tasks_method_is_bound() -> None:
    bound = Shop(3).total
    assert bound(4) == 12 and bound.task_options.timeout == 7
    assert isinstance(Shop.total, Task)


def test_a_task_pickles_by_reference() -> None:
    assert pickle.loads(pickle.dumps(double)) is double


def test_a_copy_with_other_options_pickles() -> None:
    again = pickle.loads(pickle.dumps(double.options(timeout=1).options(priority=2)))
    assert again(4) == 8
    assert (again.task_options.timeout, again.task_options.priority) == (1, 2)


def test_a_tasks_method_pickles_with_what_it_is_bound_to() -> None:
    again = pickle.loads(pickle.dumps(Shop(3).total))
    assert again(5) == 15 and again.task_options.timeout == 7


def test_a_task_made_of_a_function_elsewhere_pickles() -> None:
    again = pickle.loads(pickle.dumps(task(len, timeout=2)))
    assert again([1, 2]) == 2 and again.task_options.timeout == 2


class Proxy:
    """Stands for something that is not there."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("unbound")

    def __call__(self) -> int:
        return 7


class Odd:
    """Has a name that is none."""

    def __getattr__(self, name: str) -> Any:
        return 3

    def __call__(self) -> int:
        return 8


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (len, "len"),
        (test_which_options_take_the_fast_path, f"{__name__}.test_which_options_take_the_fast_path"),
        (double, f"{__name__}.double"),
        (double.options(name="twice"), "twice"),
        (partial(partial(double, 1)), f"{__name__}.double"),
        (Shop(1).total, f"{__name__}.Shop.total"),
        (Shop, f"{__name__}.Shop"),
        (str.upper, "str.upper"),
    ],
)
def test_what_reports_call_a_function(fn: Any, expected: str) -> None:
    assert task_name(fn) == expected


def test_what_has_no_name_to_be_had_is_called_by_its_type() -> None:
    assert (task_name(Proxy()), task_name(Odd())) == (f"{__name__}.Proxy", f"{__name__}.Odd")


# -- checks


@pytest.mark.parametrize("value", [None, 0.5, 5, math.inf])
def test_a_length_of_time(value: float | None) -> None:
    assert check_seconds("x", value) == value


def test_zero_seconds_only_where_they_make_sense() -> None:
    assert check_seconds("x", 0, zero=True) == 0.0
    with pytest.raises(ValueError, match="greater than 0"):
        check_seconds("x", 0)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-3, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_count(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="workers must be"):
        check_count("workers", value)
