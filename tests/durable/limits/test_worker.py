"""Limits as workers keep them: who is woken, what is set by hand, jobs from before a limit, a deploy."""

from __future__ import annotations

import pytest

from steadypool import JobState, Limit, Queue
from steadypool.durable.worker import maintenance
from steadypool.rules import claim_size
from tests.durable.limits import mill
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.every_engine


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("STEADYPOOL_URL", url)
    yield mill.queue
    mill.queue.close()


def test_a_place_that_one_worker_frees_is_taken_by_an_idle_one_at_once(
    queue: Queue, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_size, "LOOK_AGAIN", 3600.0)  # so none looks on its own
    monkeypatch.setattr(maintenance, "PRUNE_EVERY", 3600.0)
    with Working(queue, workers=2) as busy:
        for name in "ab":
            mill.act.enqueue(stage.address, name)
        actors = stage.enter_many(2)
        with Working(queue, workers=1) as idle:
            waits = mill.act.enqueue(stage.address, "c")
            busy.worker.request_drain(WAIT)  # it claims no more
            assert stage.is_empty(0.2) and waits.state is JobState.AVAILABLE
            actors["a"].close()
            stage.enter()
            assert idle.worker.held == 1
            stage.close()


def test_what_is_set_by_hand_holds_on_all_workers_and_survives_a_new_start(queue: Queue, stage: Stage) -> None:
    handles = [mill.act.enqueue(stage.address, str(number)) for number in range(4)]
    with Working(queue, workers=4), Working(queue, workers=4):
        stage.enter_many(2)
        assert stage.is_empty(0.1)
        queue.limits.set("stones", running=3)
        stage.enter()
        assert stage.is_empty(0.1)
        with Working(queue, workers=4):  # it declares what the code says
            assert stage.is_empty(0.2)
            queue.limits.reset("stones")
            queue.limits.set("stones", running=4)
            stage.enter()
            stage.close()
            assert [handle.result(WAIT) for handle in handles] == ["0", "1", "2", "3"]
    [info] = [info for info in queue.limits.list() if info.name == "stones"]
    assert (info.running, info.in_code["running"], info.by_hand) == (4, 2, True)
    queue.limits.reset("stones")


def test_jobs_from_before_a_limit_obey_it(url: str, stage: Stage) -> None:
    old = Queue(url, app="mill")
    made = old.task(name="tests.durable.limits.mill.act")(mill.act.fn)
    before = [made.enqueue(stage.address, str(number)) for number in range(4)]
    later = made.options(delay=0.05).enqueue(stage.address, "later")
    new = Queue(url, app="mill")
    new.task(name="tests.durable.limits.mill.act", limit=Limit("one", running=1))(mill.act.fn)
    with Working(new, workers=4):
        for _ in range(5):
            actor = stage.enter()
            assert stage.is_empty(0.05)
            actor.close()
        assert all(handle.result(WAIT) for handle in [*before, later])
    assert {handle.attempts for handle in [*before, later]} == {1}
    for one in (old, new):
        one.close()


def test_a_job_that_is_held_back_for_an_hour(queue: Queue, stage: Stage) -> None:
    first, second, third = (mill.act.enqueue(stage.address, name) for name in "abc")
    with Working(queue, workers=4) as working:
        actors = stage.enter_many(2)
        queue.engine.move_clock(3600.0)
        [held] = [one.record() for one in (first, second, third) if one.state is JobState.AVAILABLE]
        assert (held.attempt, held.errors, held.held_by) == (0, (), "limit stones: 2 of 2 running")
        counts = {count.name: (count.running, count.waiting) for count in working.worker.limits()}
        assert counts["stones"] == (2, 1)
        for actor in actors.values():
            actor.close()
        stage.enter().close()
        assert {handle.result(WAIT) for handle in (first, second, third)} == set("abc")


def test_a_task_that_the_worker_does_not_know_is_set_aside_from_its_lane(url: str, queue: Queue) -> None:
    unknown = queue.task(name="mill.gone", limit=mill.stones)(mill.free.fn)
    handles = [unknown.enqueue(number) for number in range(3)]
    del queue.tasks["mill.gone"]
    with Working(queue) as working:
        assert mill.act.limits.keys() == {"stones"}
        working.wait_for("TaskUnknown")
        assert mill.free.enqueue(1).result(WAIT) == 1
    assert {handle.state for handle in handles} == {JobState.SCHEDULED}
    knows = Queue(url, app="mill")
    knows.task(name="mill.gone", limit=mill.stones)(mill.free.fn)
    with Working(knows):
        assert [handle.result(WAIT) for handle in handles] == [0, 1, 2]
    knows.close()


def test_the_later_release_of_two_says_what_holds(url: str) -> None:
    queues = [Queue(url, app="mill", release=release) for release in ("2", "1")]
    for queue, running in zip(queues, (5, 7), strict=True):
        queue.limit("stones", running=running)
        queue.work(kind="thread", workers=1, until_empty=True)
    assert queues[1].limits.list()[0].running == 5
    for queue in queues:
        queue.close()


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_tenants_take_turns_on_every_kind(queue: Queue, kind: str) -> None:
    handles = [mill.thumbnail.enqueue(tenant) for tenant in (1,) * 40 + (2,)]
    queue.work(kind=kind, workers=2, until_empty=True)
    records = [handle.record() for handle in handles]
    assert {record.state for record in records} == {JobState.COMPLETED}
    starts = [record.started_at or 0.0 for record in records]
    assert sum(start < starts[-1] for start in starts) <= 2, "the one of the other tenant is among the first"
