"""The end of a worker."""

from __future__ import annotations

import time

import pytest

from steadypool import EngineFull, EngineGone, JobState, PoolBroken, Queue, SchemaMismatch
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage


@pytest.mark.every_engine
def test_what_runs_is_finished_and_what_has_not_started_goes_back(queue: Queue, stage: Stage) -> None:
    running = [app.act.enqueue(stage.address, f"{n}") for n in range(2)]
    with Working(queue) as working:
        actors = stage.enter_many(2)
        waiting = app.add.enqueue(1)
        working.worker.request_drain(30)
        for actor in actors.values():
            actor.tell("return")
        report = working.end(30)
    assert {handle.state for handle in running} == {JobState.COMPLETED}
    assert waiting.state is JobState.AVAILABLE and waiting.attempts == 0
    assert report.ok and report.completed == 2


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_what_is_interrupted_goes_back_without_a_failure(queue: Queue, stage: Stage, kind: str, roomy: float) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue, kind) as working:
        stage.enter().tell("obey")
        report = working.end(roomy)
    assert handle.state is JobState.AVAILABLE and handle.attempts == 0 and handle.errors == ()
    assert (report.returned, report.interrupted) == (0, 1) and not report.left and not report.unwritten
    assert "1 interrupted" in str(report)
    assert report.pool is not None and len(report.pool.interrupted) == 1


def test_a_process_that_ignores_the_end_is_killed_and_its_job_goes_back(
    queue: Queue, stage: Stage, roomy: float
) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue, "process") as working:
        stage.enter()
        report = working.end(roomy)
    assert handle.state is JobState.AVAILABLE and report.interrupted == 1 and not report.left


def test_a_thread_that_ignores_the_end_keeps_its_job_until_the_lease_is_over(
    queue: Queue, stage: Stage, roomy: float
) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue) as working:
        actor = stage.enter()
        report = working.end(roomy)
        # Its code still runs here: nobody else may have it before this process has gone.
        assert report.left == (handle.job_id,) and handle.state is JobState.RUNNING
        assert report.pool is not None and [row.id for row in report.pool.stuck] == [handle.job_id]
        actor.tell("return")


@pytest.mark.every_engine
def test_the_end_is_in_time_though_the_database_is_locked(
    queue: Queue, stage: Stage, engine_kind: EngineKind, url: str
) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue, lease=60.0) as working:
        actor = stage.enter()
        with engine_kind.hold(url):
            actor.tell("return")
            began = time.monotonic()
            report = working.end(2.0)
            assert time.monotonic() - began < 2.0 + WAIT / 2
        assert report.unwritten == (handle.job_id,) and not report.ok
        assert str(report).count("not written") == 1


@pytest.mark.every_engine
def test_a_locked_database_is_waited_for(queue: Queue, stage: Stage, engine_kind: EngineKind, url: str) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue, lease=60.0) as working:
        actor = stage.enter()
        with engine_kind.hold(url):
            actor.tell("return")
            working.wait_for("EngineFailed")
        assert handle.result(WAIT) == "actor"
        working.wait_for("EngineRecovered")
    assert working.report is not None and working.report.ok


@pytest.mark.every_engine
def test_the_end_is_in_time_though_the_database_is_gone(
    queue: Queue, stage: Stage, engine_kind: EngineKind, url: str
) -> None:
    app.act.enqueue(stage.address)
    with Working(queue) as working:
        actor = stage.enter()
        engine_kind.destroy(url)
        actor.tell("return")
        report = working.end(2.0)
        assert not report.ok and (report.unwritten or report.refused)


@pytest.mark.every_engine
def test_a_store_that_was_removed_is_told_and_one_that_is_made_anew_is_worked_on(
    queue: Queue, engine_kind: EngineKind, url: str
) -> None:
    with Working(queue, lease=2.0) as working:
        engine_kind.destroy(url)
        count = 1
        while not isinstance(working.wait_for("EngineFailed", count).error, EngineGone | SchemaMismatch):
            count += 1  # a busy machine
        engine = engine_kind.open(url)
        engine.migrate()
        engine.close()
        working.wait_for("LeaseLost")  # nobody is registered there
        queue.close()
        assert app.add.enqueue(1).result(WAIT) == 1


def test_a_coroutine_that_blocks_its_loop_does_not_hold_up_the_end(queue: Queue, stage: Stage) -> None:
    handle = app.block_loop.enqueue(stage.address)
    with Working(queue, "async") as working:
        actor = stage.enter()
        report = working.end(2.0)
        assert report.left == (handle.job_id,) and not report.ok
        assert handle.state is JobState.RUNNING
        actor.tell("return")


@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_a_worker_ends_when_its_pool_is_drained_from_outside(queue: Queue, stage: Stage, kind: str) -> None:
    handle = (app.act_async if kind == "async" else app.act).enqueue(stage.address)
    with Working(queue, kind) as working:
        actor = stage.enter()
        working.worker._opened[0].request_drain(None)  # as the viewer does
        actor.tell("return")
        report = working.ended()
    assert handle.state is JobState.COMPLETED and not report.unwritten
    assert any("its pool was closed by another" in note for note in report.notes)


def test_a_worker_that_cannot_start_says_so_and_leaves_nothing_behind(queue: Queue) -> None:
    with pytest.raises(PoolBroken, match="initializer failed"):
        queue.work(kind="process", workers=1, pool={"initializer": app.fail.fn})
    app.add.enqueue(1)
    engine = queue.engine
    [row] = engine.stats().workers
    assert row.running == 0


def test_a_full_disk_is_waited_for_and_loses_no_result(queue: Queue, url: str) -> None:
    if not url.startswith("sqlite:"):
        pytest.skip("a disk is made full for one connection by SQLite's own limit")
    with Working(queue) as working:
        assert app.add.enqueue(1).result(WAIT) == 1
        limit_pages(working, 5)
        handle = app.big.enqueue(300_000)
        assert isinstance(working.wait_for("EngineFailed").error, EngineFull)
        assert handle.state is JobState.RUNNING
        limit_pages(working, 1_000_000)
        assert handle.result(WAIT) == "x" * 300_000
    assert working.report is not None and working.report.ok and handle.attempts == 1


def limit_pages(working: Working, more: int) -> None:
    """Have the worker's own connection find the disk full when the file has grown by so many pages."""
    with working.worker._engine._store.write() as connection:  # type: ignore[attr-defined]
        [[pages]] = connection.execute("PRAGMA page_count").fetchall()
        connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchall()
