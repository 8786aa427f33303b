"""Options travel with the function."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from steadypool import Retry, Task, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT


def test_a_task_is_still_the_plain_function() -> None:
    assert isinstance(jobs.decorated, Task)
    assert jobs.decorated(4) == 8
    assert jobs.decorated.__name__ == "decorated" and jobs.decorated.__doc__ == "Return it twice."
    assert "the double" in repr(jobs.decorated)


def test_it_pickles_by_reference() -> None:
    assert pickle.loads(pickle.dumps(jobs.decorated)) is jobs.decorated
    assert len(pickle.dumps(jobs.decorated)) < 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: jobs.decorated.options(timeout=5, id="a"),
        lambda: jobs.decorated.options(timeout=5).options(id="b"),
        lambda: task(jobs.double, timeout=3, retry=Retry(2)),
        lambda: task(len, timeout=3),
        lambda: jobs.Counter(3).plus.options(id="m"),
    ],
)
def test_derived_tasks_pickle_with_their_options(make: Callable[[], Any]) -> None:
    made = make()
    again = pickle.loads(pickle.dumps(made))
    assert isinstance(again, Task) and again.task_options == made.task_options


def test_options_make_a_copy() -> None:
    changed = jobs.decorated.options(timeout=5, priority=3)
    assert changed(4) == 8
    assert (changed.task_options.timeout, changed.task_options.priority) == (5, 3)
    assert changed.task_options.name == "the double"
    assert jobs.decorated.task_options.timeout is None


def test_a_builtin_becomes_a_task(pool: Any) -> None:
    assert pool.submit(task(len, timeout=10), "abc").result(WAIT) == 3


def test_a_submit_asks_a_task_for_nothing_that_it_has_not(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.submit(jobs.decorated, 1).result(WAIT)  # the first one is looked at more closely
    missing: list[str] = []

    def note(_: Any, name: str) -> Any:  # what is not there takes a call in Python, an error and its text
        missing.append(name)
        raise AttributeError(name)

    monkeypatch.setattr(Task, "__getattr__", note)
    assert pool.submit(jobs.decorated, 4).result(WAIT) == 8
    assert missing == []


class Shelf:
    """Tasks in a class."""

    @task(timeout=WAIT)
    @staticmethod
    def above(x: int) -> int:
        """A decorator on a static method."""
        return x

    @staticmethod
    @task(timeout=WAIT)
    def below(x: int) -> int:
        """A static method of a task."""
        return x


@pytest.mark.parametrize("fn", [Shelf.above, Shelf().above, Shelf.below, Shelf().below, Shelf().above.options(id="a")])
def test_static_methods(pool: Any, fn: Any) -> None:
    assert fn(3) == 3 and pool.submit(fn, 4).result(WAIT) == 4
    assert pickle.loads(pickle.dumps(fn))(5) == 5


def test_a_class_method_names_the_way() -> None:
    with pytest.raises(TypeError, match="@classmethod above @task"):
        task(classmethod(lambda cls: None))  # type: ignore[call-overload]


def test_methods(pool: Any) -> None:
    counter = jobs.Counter(10)
    assert counter.plus(1) == 11 and jobs.Counter.plus(counter, 1) == 11
    assert pool.submit(counter.plus, 2).result(WAIT) == 12
    assert pool.submit(counter.plus.options(id="m"), 3).job_id == "m"
    assert pool.submit(counter.minus, 3).result(WAIT) == 7
    assert pool.submit(counter, 3).result(WAIT) == 30
    assert pool.submit(jobs.Counter.plus, counter, 4).result(WAIT) == 14
    assert list(pool.map(counter.plus, [1, 2])) == [11, 12]


def test_partials_carry_the_options(pool: Any) -> None:
    slow = task(jobs.job_facts, name="named", meta={"a": 1})
    assert pool.submit(partial(slow)).result(WAIT)[1:] == ("named", 1, {"a": 1})
    assert pool.submit(partial(partial(jobs.decorated), 4)).result(WAIT) == 8


def test_a_class_can_be_a_job(pool: Any) -> None:
    assert pool.submit(jobs.Counter, 3).result(WAIT).start == 3


def test_the_same_task_in_two_pools(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    one, other = make_pool(1, retry=Retry(2, backoff=0)), make_pool(1)
    failing = task(jobs.always_fail, meta={"a": 1})
    first, second = one.submit(failing, str(tmp_path / "1")), other.submit(failing, str(tmp_path / "2"))
    for future in (first, second, one.submit(failing, str(tmp_path / "3"))):
        future.exception(WAIT)
    assert (first.attempts, second.attempts) == (2, 1)
