"""Jobs that wait for jobs of their own queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from steadypool import JobState, Queue
from steadypool.durable.client import nested_waits
from steadypool.durable.client.handle import JobHandle
from steadypool.durable.engine.errors import JobDiscarded
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


def state_of(handle: JobHandle[int]) -> JobState:
    """How it ended: with its result, or told that its wait could never end."""
    with suppress(JobDiscarded):
        assert handle.result(WAIT) == 3
    record = handle.record()
    assert all("WouldDeadlock" in error.type_name and "queue=..." in error.message for error in record.errors)
    return record.state


@pytest.mark.every_engine
def test_when_every_slot_waits_the_last_gives_up_and_the_others_go_on(queue: Queue) -> None:
    last_of_two_gives_up(queue, "thread")


@pytest.mark.parametrize("kind", ["process", "async", "awaited"])
def test_so_does_the_last_of_another_kind(queue: Queue, kind: str) -> None:
    last_of_two_gives_up(queue, kind)


def last_of_two_gives_up(queue: Queue, kind: str) -> None:
    task = {"async": app.sums_async, "awaited": app.sums_awaited}.get(kind, app.sums)
    kind = "async" if kind == "awaited" else kind
    handles = [task.enqueue(3) for _ in range(2)]
    with Working(queue, kind=kind):
        states = sorted(map(state_of, handles))
    assert states == [JobState.COMPLETED, JobState.DISCARDED]
    assert {record.state for record in queue.list() if record.task.endswith((".add", ".add_async"))} == {
        JobState.COMPLETED
    }


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_slot_that_is_free_is_enough(queue: Queue, kind: str) -> None:
    handle = app.sums.enqueue(3)
    with Working(queue, kind=kind):
        assert handle.result(WAIT) == 3


def test_jobs_of_another_queue_may_be_waited_for(queue: Queue) -> None:
    handles = [app.parent.enqueue(2) for _ in range(4)]
    with Working(queue), Working(queue, queues=("children",)):
        assert [handle.result(WAIT) for handle in handles] == [1] * 4


@pytest.mark.every_engine
def test_workers_that_all_wait_for_each_other(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nested_waits, "STUCK_AFTER", 3.0)
    handles = [app.sums.enqueue(3) for _ in range(2)]
    with Working(queue, workers=1, name="one"), Working(queue, workers=1, name="two"):
        states = sorted(map(state_of, handles))
    assert JobState.DISCARDED in states


@pytest.mark.parametrize(
    "enqueue",
    [
        lambda: app.blocks_its_loop.enqueue(),
        lambda: app.blocks_its_loop.enqueue("children"),
        lambda: app.blocks_its_loop_for_an_ended_job.enqueue(),
    ],
    ids=["its own queue", "another queue", "the job has ended"],
)
def test_a_wait_on_the_loop_of_all_jobs_is_refused(queue: Queue, enqueue: Callable[[], JobHandle[int]]) -> None:
    """Also where it would happen to be short."""
    handle = enqueue()
    with Working(queue, kind="async"), pytest.raises(JobDiscarded, match="result_async"):
        handle.result(WAIT)


def test_a_look_on_the_loop_is_not_a_wait(queue: Queue) -> None:
    handle = app.looks_on_its_loop.enqueue()
    with Working(queue, kind="async"):
        assert handle.result(WAIT) == 1
