"""Slots of their own for queues, in one worker."""

from __future__ import annotations

import pytest

from steadypool import JobState, Queue, WorkerSettings
from tests.durable import app
from tests.durable.programs import start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import Stage

QUEUES = ("mail", "pdf", "default")


@pytest.mark.every_engine
def test_no_more_of_a_queue_run_than_it_has_slots(queue: Queue, stage: Stage) -> None:
    slots = {"mail": 2, "pdf": 1}
    with Working(queue, workers=4, queues=QUEUES, queue_slots=slots) as working:
        for name in QUEUES:
            for _ in range(4):
                app.act.options(queue=name).enqueue(stage.address, name)
        actors = [stage.enter() for _ in range(4)]
        assert sorted(actor.name for actor in actors) == ["default", "mail", "mail", "pdf"]
        assert stage.is_empty(0.3)
        next(actor for actor in actors if actor.name == "mail").close()
        assert stage.enter().name == "mail"
        assert working.worker.held == 4, "the others wait where other workers find them"
        stage.close()
        working.worker.request_drain(5.0)


@pytest.mark.every_engine
def test_a_flood_in_one_queue_leaves_the_slots_of_another_free(queue: Queue, stage: Stage) -> None:
    with Working(queue, workers=3, queues=("default", "mail"), queue_slots={"mail": 1}):
        flood = [app.act.enqueue(stage.address, "flood") for _ in range(20)]
        assert [stage.enter().name for _ in range(2)] == ["flood"] * 2
        app.act.options(queue="mail").enqueue(stage.address, "mail")
        assert stage.enter().name == "mail"
        assert [handle.state for handle in flood].count(JobState.AVAILABLE) == 18
        stage.close()


def test_short_jobs_of_all_queues_all_run(queue: Queue) -> None:
    handles = [app.add.options(queue=name).enqueue(number) for name in QUEUES for number in range(100)]
    report = queue.work(until_empty=True, queues=QUEUES, queue_slots={"mail": 2, "pdf": 1}, workers=4)
    assert report.completed == 300 and report.returned == 0
    assert {handle.state for handle in handles} == {JobState.COMPLETED}


def test_kinds_and_queues_together(queue: Queue, stage: Stage) -> None:
    """No coroutine of another queue takes the place on the loop that is mail's."""
    settings = {"queues": ("default", "mail"), "queue_slots": {"mail": 1}, "workers": 2, "coroutines": 2}
    with Working(queue, **settings) as working:  # type: ignore[arg-type]
        for _ in range(5):
            app.act_async.enqueue(stage.address, "async")
            app.act.enqueue(stage.address, "thread")
        assert sorted(stage.enter().name for _ in range(2)) == ["async", "thread"]
        assert stage.is_empty(0.3)
        app.act_async.options(queue="mail").enqueue(stage.address, "mail")
        assert stage.enter().name == "mail"
        assert working.worker.held == 3
        stage.close()
        working.worker.request_drain(5.0)


@pytest.mark.every_engine
def test_on_the_command_line(queue: Queue, stage: Stage) -> None:
    program = start_worker("--queue", "mail=1", "--queue", "default", "--workers", "2")
    for name in ("mail", "default"):
        for _ in range(3):
            app.act.options(queue=name).enqueue(stage.address, name)
    assert sorted(stage.enter().name for _ in range(2)) == ["default", "mail"]
    assert stage.is_empty(0.3)
    program.process.terminate()
    stage.close()
    assert program.end() == 0


def test_queues_that_all_have_a_number_have_as_many_slots_as_that(queue: Queue, stage: Stage) -> None:
    with Working(queue, workers=None, queues=("mail", "pdf"), queue_slots={"mail": 2, "pdf": 1}) as working:  # type: ignore[arg-type]
        assert working.worker._room.slots == 3 * 3  # of each kind
        for _ in range(4):
            app.act.options(queue="mail").enqueue(stage.address, "mail")
        stage.enter_many(1)
        stage.enter()
        assert stage.is_empty(0.2)
        stage.close()


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="queue_slots has 'pdf', which is not among the queues: mail"):
        WorkerSettings(queues=("mail",), queue_slots={"pdf": 1})
    with pytest.raises(ValueError, match="the queues need 4 slots, one for those without a number included"):
        WorkerSettings(workers=3, queues=("mail", "default"), queue_slots={"mail": 3})
    with pytest.raises(ValueError, match="the slots of queue 'mail'"):
        WorkerSettings(queues=("mail",), queue_slots={"mail": 0})
    assert WorkerSettings(workers=3, queues=("mail",), queue_slots={"mail": 3}).queue_slots == {"mail": 3}
