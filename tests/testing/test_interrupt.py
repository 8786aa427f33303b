"""Jobs that save, in a test: interrupted as by a drain, begun from a state, retried, and lost with a worker."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from steadypool import CheckpointRefused, JobState, Retry, current_job
from steadypool.durable.client.checkpoint import StateType
from steadypool.testing import Jobs, Ran
from tests.testing import shop


@dataclass
class Place:
    row: int
    sum: int = 0


@shop.queue.task(name="shop.export", checkpoint=Place, retry=Retry(3))
def export(rows: int, fails_at: int = 0) -> int:
    job = current_job()
    place = job.checkpoint or Place(0)
    while place.row < rows:
        place = Place(place.row + 1, place.sum + place.row)
        shop.seen.append(place.row)
        job.save(place)
        if place.row == fails_at and job.attempt == 1:
            raise shop.Refused(f"row {place.row}")
    return place.sum


@shop.queue.task(name="shop.export_async", checkpoint=int)
async def export_async(rows: int) -> int:
    job = current_job()
    first: int = job.checkpoint or 0
    for row in range(first, rows):
        shop.seen.append(row)
        await job.save_async(row + 1)
    return first


@pytest.mark.every_engine
def test_each_row_once_though_it_is_interrupted(jobs: Jobs) -> None:
    shop.welcome.enqueue(1)
    interrupted = jobs.interrupt(export, 5, after_saves=3)
    assert interrupted.checkpoint == Place(3, 3)
    [found] = jobs.all(export)
    assert (found.id, found.state) == (interrupted.job_id, JobState.AVAILABLE)
    assert (found.record.attempt, found.record.losses) == (0, 0)
    assert jobs.run() == Ran(completed=1, later=1), "it waits to be asked"
    again = interrupted.interrupt()
    assert again.checkpoint == Place(4, 6) and again.resume() == 10
    assert [row for row in shop.seen if isinstance(row, int)] == [1, 2, 3, 4, 5] and again.checkpoint is None


def test_two_that_are_interrupted_do_not_mix(jobs: Jobs) -> None:
    one, other = jobs.interrupt(export, 2), jobs.interrupt(export, 3)
    assert (one.resume(), other.resume()) == (1, 3)


@pytest.mark.every_engine
def test_on_a_loop_it_is_the_same(jobs: Jobs) -> None:
    assert jobs.interrupt(export_async, 4, after_saves=2).resume() == 2
    assert shop.seen == [0, 1, 2, 3]


def test_a_job_begins_with_a_state(jobs: Jobs) -> None:
    assert jobs.perform(export, 5, checkpoint=Place(3, 3)) == 10 and shop.seen == [4, 5]
    assert jobs.perform(export_async, 5, checkpoint=5) == 5
    with pytest.raises(CheckpointRefused, match="a state must be of that type"):
        jobs.perform(export, 5, checkpoint=3)


def test_one_that_ends_before_is_told_apart(jobs: Jobs) -> None:
    with pytest.raises(AssertionError, match=r"shop\.export has ended before it saved 3 times"):
        jobs.interrupt(export, 2, after_saves=3)
    with pytest.raises(shop.Refused):
        jobs.interrupt(export, 2, 1, after_saves=2)
    with pytest.raises(TypeError, match=r"saves nothing.*checkpoint=int"):
        jobs.interrupt(shop.double, 2)
    with pytest.raises(ValueError, match="after_saves"):
        jobs.interrupt(export, 2, after_saves=0)


@pytest.mark.every_engine
def test_the_attempt_after_a_failure_begins_with_what_it_saved(jobs: Jobs) -> None:
    handle = export.enqueue(5, fails_at=3)
    assert jobs.run(raises=False).retried == 1
    assert handle.checkpoint == Place(3, 3) and handle.state is JobState.RETRYABLE
    jobs.advance(hours=1)
    assert jobs.run() == Ran(completed=1)
    assert shop.seen == [1, 2, 3, 4, 5] and (handle.result(), handle.attempts) == (10, 2)


@pytest.mark.every_engine
def test_what_a_lost_worker_had_not_written_is_repeated(jobs: Jobs) -> None:
    export.enqueue(3)
    export_async.enqueue(3)
    jobs.lose_worker(ran=True)
    assert shop.seen == [1, 2, 3, 0, 1, 2] and jobs.run() == Ran(completed=2)
    assert shop.seen[6:] == [1, 2, 3], "the other one flushes what it saves"
    assert [job.record.losses for job in jobs.all()] == [1, 1]


def test_a_deploy_that_changes_the_type_fails_the_attempt(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = jobs.interrupt(export, 5)
    monkeypatch.setattr(export, "states", StateType("shop.export", int))
    with pytest.raises(CheckpointRefused, match=r'shop\.export has checkpoint=int, .* has saved \{"row":1,"sum":0\}'):
        interrupted.resume()
    assert shop.seen == [1]
