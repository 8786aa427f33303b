"""Limits hold whatever becomes of workers: killed, stopped for longer than their lease, drained."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

import pytest

from steadypool import JobState, Queue
from steadypool.durable.engine.records import JobFilter, JobRecord
from tests.durable.limits import mill
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.every_engine
IS_LONG = os.environ.get("STEADYPOOL_TEST_LONG") == "1"
TENANTS, JOBS, KILLS = (50, 5000, 20) if IS_LONG else (4, 72, 2)
SECONDS = 0.05 if IS_LONG else 0.1
LEASE = ("--lease", "1")


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    yield mill.queue
    mill.queue.close()


def records_of(queue: Queue) -> list[JobRecord]:
    return [queue.record(found.id) for found in queue.engine.find(JobFilter(limit=10 * JOBS))]


def wait_until_some_run(queue: Queue) -> None:
    """Or until all jobs have ended: another worker may have been quick."""
    with closing(queue.engine.listener("work")) as listener:
        while not any(count.running for count in queue.engine.limits.counts()):
            [depth] = queue.engine.depths(["default"])
            if not depth.available and not depth.retryable and not depth.scheduled:
                return
            listener.wait(0.02)


@pytest.mark.timeout(300 if IS_LONG else 240)
def test_no_tenant_has_more_than_its_places_though_workers_are_killed(queue: Queue) -> None:
    chance = random.Random(7)
    handles = queue.enqueue_many(mill.grind, [(number % TENANTS, SECONDS) for number in range(JOBS)])
    workers = [mill.start_worker("--workers", "6", "--kind", "thread", *LEASE) for _ in range(2)]
    for _ in range(KILLS):
        wait_until_some_run(queue)
        time.sleep(chance.uniform(0.0, SECONDS))
        workers.pop(0).kill()
        workers.append(mill.start_worker("--workers", "6", "--kind", "thread", *LEASE))
    for handle in handles:
        handle.result(WAIT if not IS_LONG else 120.0)
    for worker in workers:
        worker.kill()
    of_tenant: dict[int, list[JobRecord]] = defaultdict(list)
    for number, handle in enumerate(handles):
        of_tenant[number % TENANTS].append(queue.record(handle.job_id))
    assert {record.state for records in of_tenant.values() for record in records} == {JobState.COMPLETED}
    assert max(map(mill.most_at_once, of_tenant.values())) == mill.AT_ONCE
    errors = {error.outcome for records in of_tenant.values() for record in records for error in record.errors}
    assert errors <= {"lost"}  # none, if the jobs of those that were killed had just ended
    assert {(count.running, count.waiting) for count in queue.engine.limits.counts()} == {(0, 0)}


@pytest.mark.usefixtures("quick_to_sweep")
def test_a_worker_that_was_stopped_for_longer_than_its_lease_frees_nothing_twice(queue: Queue, stage: Stage) -> None:
    handles = [mill.act.enqueue(stage.address, str(number)) for number in range(5)]
    frozen = mill.start_worker("--workers", "2", "--kind", "thread", *LEASE)
    first = stage.enter_many(2)
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        with Working(queue, workers=4) as working:
            second = stage.enter_many(2)
            assert running(queue) == 2 and working.worker.held == 2
            frozen.process.send_signal(signal.SIGCONT)
            for actor in first.values():
                actor.close()  # it writes down what those have returned, too late
            assert stage.is_empty(0.5) and running(queue) == 2
            for actor in second.values():
                actor.close()
            for _ in range(3):
                actor = stage.enter()
                assert running(queue) <= 2
                actor.close()
            assert {handle.result(WAIT) for handle in handles} == set("01234")
    finally:
        frozen.process.send_signal(signal.SIGCONT)
        frozen.kill()
    assert running(queue) == 0


def running(queue: Queue) -> int:
    return {count.name: count.running for count in queue.engine.limits.counts()}["stones"]


STARTS, PER = (100, 60.0) if IS_LONG else (20, 0.5)


@pytest.mark.timeout(200)
def test_no_window_has_more_starts_than_it_may_and_a_drain_gives_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    queue = Queue(url, app="mill")
    limit = queue.limit("press", starts=STARTS, per=PER, burst=1)
    press = queue.task(name="mill.press", limit=limit)(mill.free.fn)
    handles = queue.enqueue_many(press, [(number,) for number in range(2 * STARTS)])
    with Working(queue), Working(queue), Working(queue) as third:
        handles[STARTS // 2].result(PER + WAIT)
        threading.Thread(target=third.end, args=(WAIT,)).start()
        for handle in handles:
            handle.result(2 * PER + WAIT)
    starts = sorted(queue.record(handle.job_id).started_at or 0.0 for handle in handles)
    for place, begun in enumerate(starts):
        within = sum(start < begun + PER for start in starts[place:])
        assert within <= STARTS + 1
    queue.close()
