"""Jobs that save: another worker, or the next attempt, goes on from there."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steadypool import CheckpointRefused, JobDiscarded, JobHandle, JobState, Queue
from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.records import Settlement, Verdict
from tests.durable import savers
from tests.durable.engines import file_of
from tests.durable.programs import Program, numbers_in
from tests.durable.working import Working
from tests.patience import eventually
from tests.pools.contract.stage import WAIT, Stage

LONG = os.environ.get("STEADYPOOL_TEST_LONG") == "1"
STOPS = (signal.SIGKILL, signal.SIGTERM) * (20 if LONG else 1)
CALLS = 100_000 if LONG else 5_000


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    yield savers.queue
    savers.queue.close()


def drains(working: Working) -> bool:
    """Whether its jobs can see that it does."""
    pools = working.worker._pools
    return pools is not None and pools.mark is not None and os.path.exists(pools.mark)


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", savers.TASKS)
def test_a_drain_hands_the_job_over_where_it_saves(queue: Queue, stage: Stage, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "items"
    handle = savers.TASKS[kind].enqueue(str(path), 6, stage.address, 2)
    with Working(queue, kind) as working:
        actor = stage.enter()
        assert (handle.checkpoint, handle.state) == (3, JobState.RUNNING), "it was flushed"
        working.worker.request_drain(WAIT)
        eventually(lambda: drains(working))
        actor.tell("return")
        report = working.ended(WAIT)
    record = handle.record()
    assert (record.state, record.attempt, record.errors, record.losses) == (JobState.AVAILABLE, 0, (), 0)
    assert handle.checkpoint == 3 and (report.claimed, report.returned, report.interrupted) == (1, 0, 1) and report.ok
    assert not working.all("JobSnoozed") and not working.all("AttemptFailed")
    with Working(queue, kind):
        assert handle.result(WAIT) == 3 and handle.attempts == 1
    assert numbers_in(path.read_text()) == [0, 1, 2, 3, 4, 5]
    assert handle.checkpoint is None and queue.engine.notes.read([record.number]) == {}


def take_back(queue: Queue, handle: JobHandle[int]) -> None:
    """What is done once the lease of a killed worker has run out."""
    newest = queue.engine.register("looks", 60.0)

    def is_back() -> bool:
        for number in range(max(1, newest - 10), newest + 1):
            queue.engine.renew(number, -1.0)  # again and again: a helper that has not ended yet renews it, too
        queue.engine.sweep(1000)
        return handle.state is JobState.AVAILABLE

    eventually(is_back)


@pytest.mark.every_engine
@pytest.mark.timeout(900 if LONG else 240)
def test_sigterm_repeats_nothing_and_sigkill_what_was_not_written(queue: Queue, tmp_path: Path) -> None:
    queue.engine.migrate()
    path, stop = tmp_path / "items", tmp_path / "stop"
    path.touch()
    handle = savers.walk_on.enqueue(str(path), str(stop))

    def items() -> list[int]:
        return numbers_in(path.read_text())

    stops = STOPS if LONG or queue.url.startswith("sqlite") else STOPS[:1]
    last, kept, was = -1, 0, signal.SIGTERM
    for number in stops:
        begin = len(items())
        program = Program(
            *("steadypool.cli", "work", "tests.durable.savers:queue", "--kind", "thread", "--workers", "1")
        )
        eventually(lambda begin=begin: len(items()) > begin + 5)  # type: ignore[misc]
        again = items()[begin]
        assert again == last + 1 or (was is signal.SIGKILL and kept <= again <= last)
        eventually(lambda again=again: handle.checkpoint is not None and handle.checkpoint > again)  # type: ignore[misc]
        kept, was = handle.checkpoint, number
        program.process.send_signal(number)
        program.end()
        last = items()[-1]
        if number is signal.SIGTERM:
            assert handle.checkpoint == last + 1 and handle.state is JobState.AVAILABLE
        else:
            take_back(queue, handle)
    stop.touch()
    with Working(queue):
        assert handle.result(WAIT) >= kept
    record = handle.record()
    kills = stops.count(signal.SIGKILL)
    assert record.losses == kills and record.attempt == kills + 1
    assert sorted(set(items())) == list(range(max(items()) + 1))


@pytest.mark.every_engine
def test_an_attempt_that_failed_is_followed_by_one_from_its_checkpoint(queue: Queue, tmp_path: Path) -> None:
    handle = savers.fail_once.enqueue(str(tmp_path / "items"), 60, 49)
    with Working(queue):
        assert handle.result(WAIT) == [50, 2]
    assert numbers_in((tmp_path / "items").read_text()) == list(range(60))


def test_the_death_of_its_process_loses_nothing_that_has_left_it(queue: Queue, tmp_path: Path) -> None:
    handle = savers.die_once.enqueue(str(tmp_path / "items"), 6, 3)
    with Working(queue, "process"):
        assert handle.result(WAIT) == [4, 2]


@pytest.mark.every_engine
def test_who_has_lost_its_lease_saves_nothing(queue: Queue, stage: Stage) -> None:
    handle = savers.contend.enqueue(stage.address)
    with Working(queue) as working:
        first = stage.enter()
        number = working.worker._registration.number

        def is_lost() -> bool:
            queue.engine.renew(number, -1.0)  # again and again: its heartbeat renews it, too
            queue.engine.sweep(1000)
            return handle.record().losses > 0

        eventually(is_lost)
        second = stage.enter()  # the same job, in another slot of the worker, which has registered anew
        assert (first.name, second.name) == ("1", "2")
        second.tell("return")
        kept = stage.enter()
        assert (kept.name, handle.checkpoint) == ("2 saved", 2)
        first.tell("return")
        lost = stage.enter()
        assert (lost.name, handle.checkpoint) == ("1 lease_lost", 2)
        lost.tell("return")
        kept.tell("return")
        assert handle.result(WAIT) is None


def test_a_cancelled_job_is_told_where_it_saves(queue: Queue, stage: Stage, tmp_path: Path) -> None:
    handle = savers.walk.enqueue(str(tmp_path / "items"), 6, stage.address, 2)
    with Working(queue) as working:
        actor = stage.enter()
        assert handle.cancel()
        eventually(lambda: actor.ask("cause") == "cancelled")
        actor.tell("return")
        eventually(lambda: handle.state is JobState.CANCELLED)
    assert working.report is not None and working.report.cancelled == 1
    assert numbers_in((tmp_path / "items").read_text()) == [0, 1, 2] and handle.checkpoint is None


def test_a_job_is_written_once_a_second_however_often_it_saves(queue: Queue, stage: Stage, url: str) -> None:
    queue.engine.migrate()
    with sqlite3.connect(file_of(url)) as connection:
        connection.execute("CREATE TABLE writes (n)")
        for change in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER of_{change} AFTER {change} ON notes BEGIN INSERT INTO writes VALUES (1); END"
            )
    connection.close()
    handle = savers.save_much.enqueue(stage.address, CALLS)
    with Working(queue):
        began = time.monotonic()
        actor = stage.enter()
        eventually(lambda: handle.checkpoint == CALLS - 1)
        seconds = time.monotonic() - began
        actor.tell("return")
        handle.result(WAIT)
    with sqlite3.connect(file_of(url)) as connection:
        [[writes]] = connection.execute("SELECT count(*) FROM writes").fetchall()
    connection.close()
    assert 1 <= writes <= seconds + 2


def test_a_state_of_another_type_is_refused(queue: Queue, tmp_path: Path) -> None:
    handle: JobHandle[int] = savers.walk.enqueue(str(tmp_path / "items"), 6)
    queue.engine.migrate()
    who = queue.engine.register("other", 60.0)
    [claim] = queue.engine.claim(who, ["default"], 1).claims
    note = Note(claim.number, claim.token, claim.lease, 1, b'"page 7"')
    queue.engine.settle_many([Settlement(claim, Verdict.RETURN, note=note)])
    with Working(queue), pytest.raises(JobDiscarded, match=r'CheckpointRefused.*checkpoint=int.*has saved "page 7"'):
        handle.result(WAIT)
    assert not (tmp_path / "items").exists()
    with pytest.raises(CheckpointRefused, match="page 7"):
        savers.walk.decode_checkpoint(b'"page 7"')


def test_a_task_that_saves_nothing_says_how_it_would(queue: Queue) -> None:
    with Working(queue), pytest.raises(JobDiscarded, match=r"has no checkpoint.*@queue.task\(checkpoint=int\)"):
        savers.save_nothing.enqueue().result(WAIT)
