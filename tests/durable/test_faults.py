"""What is promised whatever dies: nothing lost, and run again only what was in flight."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from steadypool import JobState, Queue
from steadypool.durable.engine.records import JobFilter
from tests.durable import app
from tests.durable.engines import file_of
from tests.durable.programs import numbers_in, start_enqueuer, start_worker
from tests.durable.working import Working
from tests.patience import eventually
from tests.pools.contract.stage import WAIT, Stage

SHORT = ("--lease", "1", "--quiet")
LEASE = 6.0
"""Seconds of one that no busy machine lets run out: it is renewed every two."""
RENEWED = 4.0
"""Seconds by which renewals have moved its end, so that there has been more than one."""
ROUNDS = 15 if os.environ.get("STEADYPOOL_TEST_LONG") else 1


@pytest.mark.timeout(240)
@pytest.mark.every_engine
def test_nothing_is_lost_when_workers_and_enqueuers_are_killed(queue: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "ran")
    enqueued: set[int] = set()
    for round_number, kind in enumerate(("thread", "process", "thread")):
        worker = start_worker("--lease", "1", "--kind", kind, "--workers", "4")
        worker.read_until("is ready")
        enqueuer = start_enqueuer(path, round_number * 1000, 300)
        assert enqueuer.process.stdout is not None
        said = [enqueuer.process.stdout.readline() for _ in range(random.randint(20, 120))]
        worker.process.kill()
        enqueuer.process.kill()
        # Not `communicate`, which knows nothing of what `readline` has read ahead.
        said.append(enqueuer.process.stdout.read())
        enqueuer.end()
        worker.end()
        enqueued |= set(numbers_in("".join(said)))
    assert start_worker(*SHORT, "--kind", "thread", "--until-empty").end() == 0
    ran = Counter(int(line.split()[0]) for line in Path(path).read_text().splitlines())
    tokens = [line.split()[1] for line in Path(path).read_text().splitlines()]
    assert enqueued <= ran.keys(), f"lost: {sorted(enqueued - ran.keys())}"
    assert len(set(tokens)) == len(tokens), "two runs had the same claim"
    records = queue.list(JobFilter(limit=10_000))
    assert {record.state for record in records} == {JobState.COMPLETED}
    assert len(records) == len(ran)  # what was enqueued is what has run: nothing more, nothing less
    lost = sum(record.losses for record in records)
    assert sum(ran.values()) - len(ran) <= lost, "a job ran twice that was in no killed worker's hands"


@pytest.mark.usefixtures("quick_to_sweep")
@pytest.mark.every_engine
def test_a_killed_worker_s_job_runs_again_within_seconds(queue: Queue, stage: Stage) -> None:
    handle = app.act.enqueue(stage.address)
    worker = start_worker("--kind", "thread", "--lease", "2")
    stage.enter()
    with Working(queue) as other:
        worker.kill()
        again = stage.enter()
        event = other.wait_for("JobsRecovered")
        again.tell("return")
        assert handle.result(WAIT) == "actor"
    assert event.returned == 1 and handle.attempts == 2
    assert [error.outcome for error in handle.errors] == ["lost"]


@pytest.mark.usefixtures("quick_to_sweep")
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_worker_that_was_stopped_loses_its_lease_and_goes_on(queue: Queue, stage: Stage, kind: str) -> None:
    handle = app.act.enqueue(stage.address, "first")
    worker = start_worker("--kind", kind, "--workers", "1", "--lease", "1")
    first = stage.enter()
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        with Working(queue):
            second = stage.enter()  # the same job, in another worker
            os.kill(worker.process.pid, signal.SIGCONT)
            worker.read_until("the lease was lost")
            assert first.ask("cause") == "lease_lost"
            first.tell("return")
            second.tell("return")
            assert handle.result(WAIT) == "first" and handle.attempts == 2
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    next_one = app.add.enqueue(1)
    assert next_one.result(WAIT) == 1
    worker.process.terminate()
    assert worker.end() == 0


class Pipe:
    """What jobs of `app.hold_gil` wait for."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._end = os.open(path, os.O_RDWR)

    def let_go(self) -> None:
        os.write(self._end, b"!")
        os.close(self._end)


def lease_ends(queue: Queue) -> list[float]:
    """When the lease of each worker ends, unless it is renewed."""
    with closing(sqlite3.connect(file_of(queue.url))) as connection:
        return [end for (end,) in connection.execute("SELECT steady_until FROM workers ORDER BY number")]


@pytest.mark.usefixtures("quick_to_sweep")
@pytest.mark.timeout(240)
def test_jobs_that_hold_the_gil_are_not_taken_away(queue: Queue, stage: Stage, tmp_path: Path) -> None:
    """With STEADYPOOL_TEST_LONG=1 for a minute."""
    lease = ("--workers", "1", "--lease", f"{LEASE:g}")
    workers = [
        start_worker("--kind", "thread", *lease),
        start_worker("--kind", "process", "--queue", "other", *lease),
    ]
    for worker in workers:
        worker.read_until("is ready")
    pipes = [Pipe(tmp_path / name) for name in ("thread", "process")]
    tasks = (app.hold_gil, app.hold_gil_elsewhere)
    handles = [task.enqueue(stage.address, pipe.path) for task, pipe in zip(tasks, pipes, strict=True)]
    for actor in [stage.enter(), stage.enter()]:
        actor.tell("return")
    with Working(queue, queues=("default", "other")) as idle:  # sweeps, and would claim what it gets
        for _ in range(ROUNDS):
            before = lease_ends(queue)
            eventually(
                lambda before=before: all(  # type: ignore[misc]
                    end >= was + RENEWED for was, end in zip(before, lease_ends(queue), strict=True)
                )
            )
        assert {handle.state for handle in handles} == {JobState.RUNNING}
        for pipe in pipes:
            pipe.let_go()
        assert [handle.result(WAIT) for handle in handles] == [1, 1]
    assert not idle.all("JobsRecovered")
    assert [handle.errors for handle in handles] == [(), ()]
    for worker in workers:
        worker.process.terminate()
        assert worker.end() == 0


@pytest.mark.usefixtures("quick_to_sweep")
def test_who_holds_the_gil_with_nobody_to_renew_its_lease_is_fenced_off(
    queue: Queue, stage: Stage, tmp_path: Path
) -> None:
    worker = start_worker("--kind", "thread", "--workers", "1", "--lease", "1")
    pipe = Pipe(tmp_path / "pipe")
    handle = app.hold_gil.enqueue(stage.address, pipe.path)
    first = stage.enter()
    children = psutil.Process(worker.process.pid).children()
    [helper] = [child for child in children if "steadypool.durable.worker.heartbeat_helper" in child.cmdline()]
    first.tell("return")  # from now on the whole process stands still
    helper.kill()
    with Working(queue) as other:
        other.wait_for("JobsRecovered")
        second = stage.enter()
        pipe.let_go()
        worker.read_until("came too late")  # before it hears that its lease is lost, or after
        assert handle.state is JobState.RUNNING
        second.tell("return")
        assert handle.result(WAIT) == 2
    assert [error.outcome for error in handle.errors] == ["lost"]
    assert app.add.enqueue(1).result(WAIT) == 1
    worker.process.terminate()
    assert worker.end() == 0
    assert "the lease was lost" in "".join(worker.said)


def test_sigterm_gives_back_what_takes_longer_than_it_may(queue: Queue, stage: Stage) -> None:
    handle = app.act.enqueue(stage.address)
    waiting = [app.add.enqueue(number) for number in range(3)]
    worker = start_worker("--kind", "process", "--workers", "1", "--drain-timeout", "8", "--cancel-grace", "0.1")
    stage.enter()
    worker.process.terminate()
    assert worker.end() == 0
    assert handle.state is JobState.AVAILABLE and handle.attempts == 0
    assert {job.state for job in waiting} <= {JobState.AVAILABLE}
    assert queue.stats().workers == ()


@pytest.mark.every_engine
def test_an_idle_worker_uses_no_cpu(queue: Queue) -> None:
    worker = start_worker("--kind", "process", "--workers", "1")
    worker.read_until("is ready")
    assert app.add.enqueue(1).result(WAIT) == 1
    process = psutil.Process(worker.process.pid)

    def is_idle() -> bool:
        before = sum(process.cpu_times()[:2])
        threading.Event().wait(1.5)  # there is nothing to wait for: nothing happens
        return sum(process.cpu_times()[:2]) - before < 0.3

    eventually(is_idle)  # a busy machine takes longer to end what was under way
    worker.process.terminate()
    assert worker.end() == 0


@pytest.mark.every_engine
def test_a_job_wakes_a_worker_in_another_process(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    from steadypool.rules import claim_size

    monkeypatch.setattr(claim_size, "LOOK_AGAIN", 3600.0)
    with Working(queue):
        enqueuer = start_enqueuer(os.devnull, 0, 3)
        assert enqueuer.end() == 0
        done = [queue.get(f"job-{number}") for number in (1, 2, 3)]
        assert [handle.result(WAIT) for handle in done] == [None] * 3
