"""`on_taken=`: what becomes of a job whose unique key is taken."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from steadypool import JobState, Queue
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage


@pytest.mark.every_engine
def test_no_change_is_missed_while_one_runs(queue: Queue, stage: Stage) -> None:
    task = app.act.options(unique="doc:1", on_taken="replace")
    first = task.enqueue(stage.address, "one")
    with Working(queue):
        one = stage.enter()
        second, third = task.enqueue(stage.address, "two"), task.enqueue(stage.address, "three")
        assert second.enqueued and not third.enqueued and second.id == third.id
        assert second.state is JobState.SCHEDULED
        one.tell("return")
        assert first.result(WAIT) == "one"
        stage.enter().tell("return")
        assert second.result(WAIT) == third.result(WAIT) == "three"


@pytest.mark.every_engine
def test_a_burst_is_one_job_with_the_last_arguments(queue: Queue) -> None:
    task = app.add.options(unique="burst", on_taken="push_back", delay=0.3, at_most=5)
    handles = [task.enqueue(number) for number in range(20)]
    assert {handle.id for handle in handles} == {handles[0].id}
    with Working(queue):
        assert handles[0].result(WAIT) == 19
    assert [record.attempt for record in queue.list()] == [1]


@pytest.mark.every_engine
def test_threads_that_put_the_same_key(queue: Queue) -> None:
    """Each waits for the other's commit at most; the jobs of others go on."""
    task = app.add.options(unique="k", on_taken="replace")
    errors: list[BaseException] = []

    def put(start: int) -> None:
        try:
            for number in range(start, start + 30):
                task.enqueue(number)
                app.add.enqueue(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=put, args=(1000 * place,)) for place in range(4)]
    with Working(queue):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        last = task.enqueue(5000)
        assert last.result(WAIT) in (5000, 5000)
    assert not errors


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_taken": "push"}, "keep, replace, push_back"),
        ({"on_taken": "replace", "unique": None}, "give unique, too"),
        ({"on_taken": "replace", "unique_for": 5}, "leave one of them out"),
        ({"on_taken": "push_back"}, "has a job wait anew: say"),
        ({"on_taken": "push_back", "delay": 5, "at_most": 1}, "is shorter than delay=5"),
        ({"at_most": 5}, 'give on_taken="push_back", too'),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        app.add.options(**{"unique": "k", **options})


def test_tags_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"tags must be texts such as \('tenant:42',\), not 'tenant:42'"):
        app.add.options(tags="tenant:42")
    with pytest.raises(TypeError, match="each"):
        app.add.options(tags=[1])  # type: ignore[list-item]
    assert app.add.options(tags=["b", "a", "b"]).call(1).job.tags == ("b", "a")


def test_the_cap_is_ten_times_the_delay_by_default() -> None:
    job = app.add.options(unique="k", on_taken="push_back", delay=6).call(1).job
    assert (job.delay, job.at_most) == (6, 60)
