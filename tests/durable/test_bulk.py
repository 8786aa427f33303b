"""Changes of many jobs by a filter."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from steadypool import BulkResult, JobFilter, JobState, Queue
from steadypool.durable.client import bulk
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import Stage

DISCARDED = frozenset({JobState.DISCARDED})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 7)
    monkeypatch.setattr(bulk, "LOOKED_AT", 11)


@pytest.mark.every_engine
def test_what_comes_back_with_a_job_that_it_needs_is_no_conflict(queue: Queue, small: None) -> None:
    first = app.add.enqueue(1)
    others = [app.add.options(after=[first]).enqueue(number) for number in range(20)]
    queue.discard(first.id)
    queue.engine.links.tend(100)
    assert {handle.state for handle in others} == {JobState.CANCELLED}
    result = queue.retry_all(JobFilter(DISCARDED | {JobState.CANCELLED}))
    assert (result.found, result.conflicts) == (21, ())
    assert first.state is JobState.AVAILABLE and {handle.state for handle in others} == {JobState.WAITING}


@pytest.mark.every_engine
def test_all_that_a_filter_finds_in_batches(queue: Queue, small: None) -> None:
    tagged = queue.enqueue_many(app.add.options(tags=("tenant:42",)), [(number,) for number in range(40)])
    others = queue.enqueue_many(app.add, [(number,) for number in range(10)])
    mine = JobFilter(tags=("tenant:42",))
    assert queue.discard_all(mine, dry_run=True) == BulkResult(found=40, dry_run=True)
    assert tagged[0].state is JobState.AVAILABLE
    assert queue.discard_all(mine, reason="moved away") == BulkResult(40, 40)
    assert {handle.record().reason for handle in tagged} == {"moved away"}
    assert {handle.state for handle in others} == {JobState.AVAILABLE}
    assert queue.retry_all(JobFilter(task="add", limit=1)) == BulkResult(40, 40)
    assert queue.cancel_all(JobFilter(task="tests.durable.app.add")) == BulkResult(50, 50)
    assert queue.retry_all(JobFilter()) == BulkResult()  # cancelled ones are named, or left alone
    assert queue.retry_all(JobFilter(frozenset({JobState.CANCELLED}))).changed == 50


@pytest.mark.every_engine
def test_a_key_that_another_job_has_is_listed(queue: Queue, small: None) -> None:
    first = app.add.options(unique="k").enqueue(1)
    plain = [app.add.enqueue(number) for number in range(9)]
    queue.discard_all(JobFilter())
    app.add.options(unique="k").enqueue(2)
    result = queue.retry_all(JobFilter())
    assert result == BulkResult(found=10, changed=9, conflicts=(first.id,))
    assert first.state is JobState.DISCARDED and {handle.state for handle in plain} == {JobState.AVAILABLE}


@pytest.mark.every_engine
def test_what_runs_is_asked_to_stop(queue: Queue, stage: Stage) -> None:
    running = app.act.enqueue(stage.address)
    with Working(queue, workers=1):
        actor = stage.enter()
        app.act.options(delay=60).enqueue(stage.address)
        assert queue.cancel_all(JobFilter(task="act")) == BulkResult(found=2, changed=2, asked=1)
        assert running.record().cancelling or running.state is JobState.CANCELLED
        actor.tell("return")


def test_a_filter_whose_states_cannot_be_changed_so(queue: Queue) -> None:
    with pytest.raises(ValueError, match=r"retry_all changes jobs that are cancelled, .*; got completed"):
        queue.retry_all(JobFilter(frozenset({JobState.COMPLETED})))
    with pytest.raises(ValueError, match="discard_all"):
        queue.discard_all(JobFilter(DISCARDED))


@pytest.mark.parametrize(
    "given",
    [
        {"states": "discarded"},
        {"states": {"lost"}},
        {"tags": "tenant:42"},
        {"tags": 5},
        {"queue": 5},
        {"task": app.add},
        {"older_than": "1h"},
        {"younger_than": -1},
        {"limit": 0},
    ],
)
def test_a_filter_that_is_none_is_refused_when_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(given))} must be "):
        JobFilter(**given)


def test_a_filter_takes_the_words_of_states() -> None:
    words: Any = {"discarded"}
    assert JobFilter(words) == JobFilter(DISCARDED)


def test_what_is_no_filter_changes_nothing(queue: Queue) -> None:
    handle = app.add.enqueue(1)
    no_filter: Any = "discarded"
    for change in (queue.cancel_all, queue.retry_all, queue.discard_all, queue.list):
        with pytest.raises(TypeError, match=r"takes a filter, such as JobFilter\(.*, not 'discarded'"):
            change(no_filter)
    assert handle.state is JobState.AVAILABLE


@pytest.mark.every_engine
def test_others_put_and_claim_meanwhile(queue: Queue) -> None:
    queue.enqueue_many(app.add.options(tags=("old",)), [(number,) for number in range(600)])
    queue.discard_all(JobFilter())
    over = threading.Event()
    handles = []

    def put() -> None:
        while not over.is_set():
            handles.append(app.add.enqueue(1))

    with Working(queue):
        threads = [threading.Thread(target=put) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            result = queue.retry_all(JobFilter(tags=("old",)))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert result.changed == 600
        assert {handle.result(60) for handle in handles} == {1}
