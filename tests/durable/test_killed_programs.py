"""Batches, chains and diamonds, with programs that are killed at any moment: each job that follows is put once.

With ``STEADYPOOL_TEST_LONG=1`` there are as many as in production.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobState, Queue, UnknownJob
from tests.durable import app
from tests.durable.programs import Program, start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

LONG = os.environ.get("STEADYPOOL_TEST_LONG") == "1"
MEMBERS, KILLS, WIDTH, LINKS = (10_000, 40, 100, 1000) if LONG else (120, 2, 20, 10)
OPTIONS = ("--kind", "thread", "--workers", "3", "--lease", "1.5")


class Fleet:
    """Two workers, of which one is killed now and then."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._workers: list[Program] = [start_worker(*OPTIONS) for _ in range(2)]

    def kill_one(self) -> None:
        """And start another in its place."""
        gone = self._workers.pop(self._chance.randrange(len(self._workers)))
        gone.kill()
        self._workers.append(start_worker(*OPTIONS))

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()


@pytest.fixture
def fleet(queue: Queue) -> Iterator[Fleet]:
    queue.engine.migrate()
    fleet = Fleet(7)
    yield fleet
    fleet.end()


def wait_for(queue: Queue, number: int, path: Path) -> None:
    """Until so many lines are in the file: jobs have begun."""
    listener = queue.engine.listener("ends")
    try:
        while not path.exists() or len(path.read_text().splitlines()) < number:
            listener.wait(0.05)
    finally:
        listener.close()


def jobs_of(queue: Queue, name: str) -> list[Any]:
    return [record for record in queue.list(task="tests.durable.app.mark", limit=100_000) if record.id.endswith(name)]


@pytest.mark.timeout(900 if LONG else 240)
@pytest.mark.every_engine
def test_what_follows_a_batch_is_put_once(queue: Queue, fleet: Fleet, tmp_path: Path) -> None:
    path, follows = str(tmp_path / "members"), str(tmp_path / "follows")
    batches = []
    for mends in (False, True):
        with queue.batch("b", then=app.mark.call(follows, 0), finally_=app.mark.call(follows, 1)) as batch:
            for number in range(MEMBERS // 2):
                app.chancy.enqueue(path, number, mends)
        batches.append(batch)
    for kill in range(KILLS):
        wait_for(queue, (kill + 1) * MEMBERS // (KILLS + 2), tmp_path / "members")
        fleet.kill_one()
    broken, mended = (batch.result(WAIT * (20 if LONG else 1)) for batch in batches)
    failing = len(range(0, MEMBERS // 2, 10))
    assert (broken.total, broken.completed, broken.failed) == (MEMBERS // 2, MEMBERS // 2 - failing, failing)
    assert (mended.completed, mended.failed) == (MEMBERS // 2, 0)
    assert [record.id for record in jobs_of(queue, ":then")] == [f"batch:{batches[1].number}:then"]
    finals = [f"batch:{batch.number}:finally" for batch in batches]
    assert sorted(record.id for record in jobs_of(queue, ":finally")) == sorted(finals)
    for job_id in (*finals, f"batch:{batches[1].number}:then"):
        queue.get(job_id).result(WAIT)


@pytest.mark.timeout(900 if LONG else 240)
@pytest.mark.every_engine
def test_diamonds_and_chains_run_in_order(queue: Queue, fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "order"
    first = app.mark.enqueue(str(path), -1)
    middle = [app.mark.options(after=[first]).enqueue(str(path), number) for number in range(WIDTH)]
    last = app.mark.options(after=middle).enqueue(str(path), WIDTH)
    calls = [app.mark.options(after=[last]).call(str(path), WIDTH + 1)]
    chain = queue.chain(*calls, *(app.mark.call(str(path), WIDTH + 2 + number) for number in range(LINKS)))
    for number in (WIDTH // 2, WIDTH + LINKS // 2):
        wait_for(queue, number, path)
        fleet.kill_one()
    chain.result(WAIT * (20 if LONG else 1))
    handles = [first, *middle, last, *chain]
    assert {handle.state for handle in handles} == {JobState.COMPLETED}
    lines = [int(line) for line in path.read_text().split()]
    order = list(dict.fromkeys(lines))  # a job whose worker was killed has run again
    assert order[0] == -1 and set(order[1 : WIDTH + 1]) == set(range(WIDTH))
    assert order[WIDTH + 1 :] == list(range(WIDTH, WIDTH + 2 + LINKS))


@pytest.mark.every_engine
def test_a_program_that_is_killed_in_the_block_of_a_batch(queue: Queue) -> None:
    queue.engine.migrate()
    program = Program("tests.durable.programs", "fill", "alone")
    batch = queue.get_batch(program.read_until("filled").split()[1])
    program.kill()
    with Working(queue):
        assert (batch.progress().total, batch.progress().sealed) == (1000, False)
        assert batch.cancel()
        assert batch.result(WAIT).cancelled == 1000
    for which in ("then", "finally"):
        with pytest.raises(UnknownJob):
            queue.get(f"batch:{batch.number}:{which}")


@pytest.mark.every_engine
def test_a_program_that_is_killed_with_its_transaction(queue: Queue) -> None:
    queue.engine.migrate()
    program = Program("tests.durable.programs", "fill", "transaction")
    program.read_until("filled")
    program.kill()
    assert queue.engine.batches.page(10) == [] and queue.list() == []
    assert queue.chain(app.add.call(1))[0].state is JobState.AVAILABLE  # and others go on
