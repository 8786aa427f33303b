"""One worker runs every kind of task."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from steadypool import JobState, Queue, Worker, WorkerSettings
from tests.durable import app
from tests.durable.programs import start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

PAUSE = threading.Event()


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_one_worker_runs_every_kind(queue: Queue, kind: str) -> None:
    with Working(queue, kind) as working:
        tasks = app.place, app.place_in_process, app.place_on_thread, app.place_async, app.place_async_on_thread
        handles = {task.durable_name.rpartition(".")[2]: task.enqueue() for task in tasks}
        found = {name: handle.result(WAIT) for name, handle in handles.items()}
    here = {name for name, (pid, _) in found.items() if pid == os.getpid()}
    on_loop = {name for name, (_, thread) in found.items() if thread == "steadypool-loop"}
    assert on_loop == {"place_async"}
    own = {"place"} if kind != "process" else set()
    assert here == own | {"place_on_thread", "place_async", "place_async_on_thread"}
    report = working.report
    assert report is not None and report.ok and report.completed == 5 and report.returned == 0
    assert report.pool is not None and report.pool.stats.succeeded >= 5


def test_a_pool_is_opened_when_it_is_first_needed(queue: Queue) -> None:
    with Working(queue) as working:
        assert app.add.enqueue(1).result(WAIT) == 1
        assert list(working.worker._pools.opened) == ["thread"]  # type: ignore[union-attr]
        assert app.place_async.enqueue().result(WAIT)
        assert list(working.worker._pools.opened) == ["thread", "async"]  # type: ignore[union-attr]


def test_a_queue_of_one_kind_has_one_pool(tmp_path: Path) -> None:
    with Queue(f"sqlite:///{tmp_path}/jobs.db") as queue:

        @queue.task
        async def nothing() -> None: ...

        worker = Worker(queue, WorkerSettings())
        assert worker._kinds == ("async",)
        nothing.enqueue()
        assert worker.run(until_empty=True).completed == 1
        assert [pool.name for pool in worker._opened] == ["default"]


@pytest.mark.every_engine
def test_a_kind_without_room_holds_up_no_other_and_holds_no_job_back(queue: Queue, stage: Stage, roomy: float) -> None:
    """Others may run what waits for a slot here."""
    with Working(queue, workers=2, processes=1, coroutines=3) as working:
        long = [app.act_in_process.enqueue(stage.address, f"long {number}") for number in range(30)]
        actor = stage.enter()
        short = [app.place_on_thread.enqueue() for _ in range(5)]
        short += [app.place_async.enqueue() for _ in range(20)]  # type: ignore[misc]
        for handle in short:
            handle.result(WAIT)
        states = [handle.state for handle in long]
        assert states.count(JobState.RUNNING) == 1 and states.count(JobState.AVAILABLE) == 29
        assert all(handle.attempts == 0 for handle in long[1:])
        actor.close()
        stage.enter()
        working.end(roomy)
    assert [handle.state for handle in long].count(JobState.AVAILABLE) == 29, "the one that ran is back, too"


@pytest.mark.every_engine
def test_kinds_share_the_slots_of_the_worker(queue: Queue, stage: Stage) -> None:
    with Working(queue, workers=2) as working:
        for task in (app.act, app.act_async, app.act_in_process, app.act_async):
            task.enqueue(stage.address)
        stage.enter_many(2)
        assert stage.is_empty(0.3)
        assert working.worker.held == 2
        stage.close()
        working.worker.request_drain(5.0)


def test_short_jobs_share_the_slots_as_well(tmp_path: Path) -> None:
    """A worker claims short jobs ahead, but not into the free slots of another kind's pool."""
    running: list[int] = []
    at_once: list[int] = []

    def enter() -> None:
        running.append(1)
        at_once.append(len(running))

    with Queue(f"sqlite:///{tmp_path}/jobs.db") as queue:

        @queue.task
        def on_thread() -> None:
            enter()
            PAUSE.wait(0.001)
            running.pop()

        @queue.task
        async def on_loop() -> None:
            enter()
            await asyncio.sleep(0.001)
            running.pop()

        tasks = on_loop, on_thread, on_thread.options(timeout=9), on_thread, on_loop.options(timeout=9)
        calls = [task.call() for _ in range(12) for task in tasks]
        queue.put_many([on_thread.call() for _ in range(60)] + calls)
        report = queue.work(workers=2, until_empty=True)
    assert report.completed == 120 and max(at_once) <= 2


def test_a_kind_may_have_slots_of_its_own(queue: Queue, stage: Stage) -> None:
    with Working(queue, workers=1, coroutines=3) as working:
        for task in (app.act, app.act, *[app.act_async] * 4):
            task.enqueue(stage.address)
        stage.enter_many(4)
        assert stage.is_empty(0.3)
        assert working.worker.health().capacity == 4
        stage.close()


@pytest.mark.every_engine
def test_a_drain_on_a_signal_waits_for_every_kind(queue: Queue, stage: Stage) -> None:
    program = start_worker("--workers", "1", "--processes", "1", "--coroutines", "2", "--kind", "thread")
    handles = [task.enqueue(stage.address) for task in (app.act, app.act_in_process, app.act_async)]
    actors = [stage.enter() for _ in handles]
    program.process.send_signal(signal.SIGTERM)
    for actor in actors:
        actor.close()
    assert program.end() == 0
    assert [handle.state for handle in handles] == [JobState.COMPLETED] * 3


@pytest.mark.every_engine
def test_a_drain_whose_time_is_up_gives_every_kind_back(queue: Queue, stage: Stage, roomy: float) -> None:
    with Working(queue, workers=1, processes=1, coroutines=2) as working:
        handles = [task.enqueue(stage.address) for task in (app.act, app.act_in_process, app.act_async)]
        for actor in [stage.enter() for _ in handles]:
            actor.tell("obey")
        working.end(roomy)
    assert [(handle.state, handle.attempts) for handle in handles] == [(JobState.AVAILABLE, 0)] * 3


def test_what_is_wrong_is_said_at_once(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind must be one of 'thread', 'process', 'async', or None; got 'fork'"):
        queue.task(kind="fork")
    with pytest.raises(TypeError, match=r"kind='async' is for coroutine functions .* is none"):
        queue.task(kind="async", name="wrong")(app.add.fn)
    with pytest.raises(TypeError, match='unknown option "kind"'):
        app.add.options(kind="process")  # type: ignore[call-arg]
    for wrong in ({"processes": 0}, {"coroutines": -1}):
        with pytest.raises(ValueError):
            WorkerSettings(**wrong)  # type: ignore[arg-type]
    alone = Queue(f"sqlite:///{tmp_path}/jobs.db")
    alone.task(name="add")(app.add.fn)
    with pytest.raises(TypeError, match="max_tasks_per_child is for processes, and no task of this queue runs in one"):
        alone.work(pool={"max_tasks_per_child": 3})
