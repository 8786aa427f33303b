"""What a worker has claimed ahead does not wait behind a job that hangs."""

from __future__ import annotations

import threading

import pytest

from steadypool import Outcome, Queue, ThreadPool, WorkerSettings
from steadypool.durable.engine.records import Claim
from steadypool.durable.worker import give_back, pool_adapter
from steadypool.durable.worker.give_back import GiveBack
from steadypool.durable.worker.in_flight import InFlight
from steadypool.durable.worker.kind_pools import KindPools
from steadypool.durable.worker.kinds import SlotGroup
from steadypool.durable.worker.room import Room
from steadypool.model.options import TaskOptions
from steadypool.pools.aio.loop_pool import LoopPool
from steadypool.rules import claim_size
from steadypool.rules.claim_size import LONGEST_BEHIND
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

BEHIND = 8
TASKS = {"thread": (app.act, app.add), "process": (app.act, app.add), "async": (app.act_async, app.add_async)}


@pytest.fixture
def _claims_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short job has a worker claim all that there is; and it looks often."""
    monkeypatch.setattr(claim_size, "AHEAD", 3600.0)
    monkeypatch.setattr(claim_size, "LOOK_AGAIN", 0.1)
    monkeypatch.setattr(give_back, "LONGEST_BEHIND", 0.2)


@pytest.mark.usefixtures("_claims_ahead")
@pytest.mark.every_engine
def test_what_waits_behind_a_job_that_hangs_runs_on_another_worker(queue: Queue, stage: Stage) -> None:
    run_behind(queue, stage, "thread")


@pytest.mark.usefixtures("_claims_ahead")
@pytest.mark.parametrize("kind", ["process", "async"])
def test_so_it_does_for_every_kind_of_pool(queue: Queue, stage: Stage, kind: str) -> None:
    run_behind(queue, stage, kind)


def run_behind(queue: Queue, stage: Stage, kind: str) -> None:
    hangs, short = TASKS[kind]
    with Working(queue, kind, workers=1, name="one") as one:
        short.enqueue(0).result(WAIT)
        calls = [short.call(number) for number in range(BEHIND)]
        first, *others = queue.put_many([hangs.call(stage.address), *calls])
        actor = stage.enter()
        with Working(queue, kind, workers=1, name="two"):
            assert [handle.result(WAIT) for handle in others] == list(range(BEHIND))
        actor.close()
        assert first.result(WAIT)
    assert one.report is not None and one.report.ok
    assert (one.report.claimed, one.report.returned, one.report.completed) == (2 + BEHIND, BEHIND, 2)
    records = [handle.record() for handle in (first, *others)]
    assert [(record.worker, record.attempt) for record in records] == [("one", 1), *[("two", 1)] * BEHIND]


@pytest.mark.usefixtures("_claims_ahead")
def test_so_it_does_if_it_travels_together_with_the_one_that_hangs(
    queue: Queue, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_adapter, "BUNDLE_SECONDS", 3600.0)
    monkeypatch.setattr(pool_adapter, "KNOWN_AFTER", 0)
    monkeypatch.setattr(give_back, "LONGEST_BEHIND", 3600.0)
    with Working(queue, "process", workers=1, name="one") as one:
        app.perhaps_act.enqueue(None).result(WAIT)
        handles = queue.put_many([app.perhaps_act.call(who) for who in (None, None, stage.address, *[None] * 13)])
        actor = stage.enter()
        monkeypatch.setattr(give_back, "LONGEST_BEHIND", 0.0)
        with Working(queue, "process", workers=1, name="two"):
            assert [handle.result(WAIT) for handle in handles[3:]] == [None] * 13
        actor.close()
        assert handles[2].result(WAIT)
    assert one.report is not None and one.report.ok
    assert one.report.pool is not None and one.report.pool.stats.accepted < one.report.claimed == 17
    assert (one.report.returned, one.report.completed) == (13, 4)
    records = [handle.record() for handle in handles]
    assert [(record.worker, record.attempt) for record in records] == [*[("one", 1)] * 3, *[("two", 1)] * 13]


class Holding:
    """The parts of a worker that gives back, with claims for one kind of pool."""

    def __init__(self, pool: ThreadPool | LoopPool, kind: str, slots: int) -> None:
        self.in_flight = InFlight()
        self.room = Room(WorkerSettings(), [SlotGroup((kind,), slots, 0)], {"task": kind}, self.in_flight)
        pools = KindPools([kind], lambda _: pool, lambda: None)
        pools.of(kind)
        self.give_back = GiveBack(self.in_flight, pools, self.room)
        self._pool, self._kind = pool, kind

    def start(self, fn: object, count: int) -> None:
        """Claim so many at the moment 0, and have the pool run *fn* for each."""
        for future in self._pool._submit_prepared([(TaskOptions(), fn, ())] * count):
            number = len(self.in_flight.held)
            held = self.in_flight.take(Claim(number, 0, "", 1, 1, 1, 0, 0, "task", "default", b""), 1, self._kind)
            held.future = future

    def end(self, now: float) -> list[Outcome]:
        """What has ended by that moment, in the order of the claims; it is settled."""
        self.give_back.run_due(now)
        ended = [held for held in self.in_flight.held.values() if held.future.outcome is not None]
        self.room.note_ended(ended, now)
        for held in ended:
            self.in_flight.let_go(held)
        return [held.future.outcome for held in ended]


def test_a_worker_that_is_alone_does_not_claim_again_what_it_gives_back() -> None:
    hold, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        assert hold.wait(WAIT)

    with ThreadPool(2) as pool:
        holding = Holding(pool, "thread", 2)
        [ask] = holding.room.asks(0.0)
        assert ask.limit == 2
        holding.room._paces = {group: claim_size.Pace(100.0) for group in holding.room._paces}
        holding.start(hang, 2)
        assert all(begun.acquire(timeout=WAIT) for _ in range(2))
        holding.start(hang, 10)
        assert holding.end(LONGEST_BEHIND - 0.01) == []
        assert holding.end(LONGEST_BEHIND) == [Outcome.RETURNED] * 10
        for later in range(1, 100):
            assert holding.room.asks(LONGEST_BEHIND + later) == [], "all slots are taken, and nothing has ended"
            assert holding.end(LONGEST_BEHIND + later) == []
        hold.set()
        for held in list(holding.in_flight.held.values()):
            held.future.result(WAIT)
        assert holding.end(LONGEST_BEHIND + 100) == [Outcome.SUCCEEDED] * 2
        [ask] = holding.room.asks(LONGEST_BEHIND + 100)
        assert ask.limit == 2, "a job that took long opens no window"


def test_the_window_opens_again_when_jobs_are_short() -> None:
    with ThreadPool(1) as pool:
        holding = Holding(pool, "thread", 1)
        holding.room.asks(0.0)
        holding.start(int, 20)
        for held in list(holding.in_flight.held.values()):
            held.future.result(WAIT)
        assert holding.end(0.01) == [Outcome.SUCCEEDED] * 20
        [ask] = holding.room.asks(0.01)
        assert ask.limit == 1 + 100, "half of what was measured, for a tenth of a second"


def test_a_job_that_holds_the_loop_keeps_no_other_there() -> None:
    hold, begun = threading.Event(), threading.Event()
    ran = []

    async def hang() -> None:
        begun.set()
        assert hold.wait(WAIT)

    async def run() -> None:
        ran.append(1)

    pool = LoopPool(4)
    holding = Holding(pool, "async", 4)
    holding.start(hang, 1)
    assert begun.wait(WAIT)
    holding.start(run, 3)
    assert holding.end(LONGEST_BEHIND) == [Outcome.RETURNED] * 3
    assert holding.room.asks(LONGEST_BEHIND) == [], "slots are free, and the loop begins nothing"
    assert not holding.room.fits("async", "default")
    [first] = holding.in_flight.held.values()
    hold.set()
    first.future.result(WAIT)
    report = pool.drain(WAIT)
    assert not ran and report.ok and report.stats.succeeded == 1
    assert holding.end(LONGEST_BEHIND + 1) == [Outcome.SUCCEEDED]
    [ask] = holding.room.asks(LONGEST_BEHIND + 1)
    assert ask.limit == 4


def test_a_job_for_a_loop_that_hangs_in_all_slots_goes_back() -> None:
    begun = threading.Semaphore(0)

    async def hang() -> None:
        from asyncio import sleep

        begun.release()
        await sleep(3600)

    pool = LoopPool(2)
    holding = Holding(pool, "async", 2)
    holding.start(hang, 2)
    assert all(begun.acquire(timeout=WAIT) for _ in range(2))
    holding.start(hang, 5)
    assert holding.end(LONGEST_BEHIND) == [Outcome.RETURNED] * 5
    report = pool.drain(0.0)
    assert len(report.interrupted) == 2 and not report.unfinished
