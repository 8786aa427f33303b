"""Ticks: each becomes one job, or leaves a reason, whichever worker is there, and when."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from steadypool import Cron, EngineError, Every, Queue
from steadypool.durable.client.ticks import firing_of
from tests.durable.engines import file_of
from tests.durable.programs import Program, start_worker
from tests.durable.schedules.shop import is_completed, jobs_of, queue_of, row, ticks_of, work_once
from tests.durable.working import Working
from tests.patience import WAIT, eventually
from tests.pools.contract.stage import Stage

pytestmark = pytest.mark.every_engine
HOUR, DAY = 3_600.0, 86_400.0


def test_a_job_knows_its_schedule_and_its_tick(url: str) -> None:
    queue = queue_of(url, Cron("30 2 * * *", tz="Europe/Berlin", args={"number": 7}))
    queue.engine.migrate()
    work_once(queue)
    [tick] = queue.schedules.get("nightly").next()
    queue.engine.move_clock(tick.timestamp() - queue.engine.now() + 1)
    work_once(queue)
    [record] = jobs_of(queue)
    assert record.id == f"cron:shop.nightly:{tick.astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%M:%S}Z"
    assert json.loads(record.result or b"") == ["shop.nightly", str(tick)] and tick.hour == 2
    assert row(queue).last_job == record.id
    queue.close()


@pytest.mark.parametrize(
    ("how", "jobs", "reason"),
    [
        ({"missed": "latest"}, [2], "missed='latest': 2 before the latest"),
        ({"missed": "all"}, [0, 1, 2], None),
        ({"missed": "skip"}, [], "missed='skip'"),
        ({"missed": "all", "within": 100}, [1, 2], "more than within=100"),
        ({"missed": "latest", "within": 5}, [], "more than within=5"),
    ],
)
def test_all_workers_were_away_for_three_ticks(url: str, how: Any, jobs: list[int], reason: str | None) -> None:
    queue = queue_of(url, Every(minutes=1, **how))
    queue.engine.migrate()
    work_once(queue)
    first = row(queue).due
    queue.engine.move_clock(first + 130 - queue.engine.now())
    with Working(queue) as worker:
        worker.wait_for("ScheduleSkipped" if reason else "ScheduleFired", 1 if reason else 3)
    assert ticks_of(queue) == [first + 60 * tick for tick in jobs]
    kept = row(queue)
    assert (kept.fired, kept.skipped, kept.due) == (len(jobs), 3 - len(jobs), first + 180)
    counted = {"fired": len(jobs), "skipped": 3 - len(jobs)}
    assert worker.worker.ticks() == {
        ("default", "shop.nightly", what): count for what, count in counted.items() if count
    }
    assert (reason is None and kept.last_skip is None) or (reason or "") in (kept.last_skip or "")
    queue.close()


def test_a_worker_looks_again_when_what_it_has_put_is_due_again(url: str) -> None:
    queue = queue_of(url, Every(seconds=1, missed="skip"))  # two that are due at once would both be skipped
    queue.engine.migrate()
    with Working(queue) as worker:
        worker.wait_for("ScheduleFired", 4)
    assert len(set(ticks_of(queue))) >= 4
    queue.close()


def test_a_clock_that_goes_back_fires_nothing_twice_and_one_that_goes_forward_is_a_time_away(url: str) -> None:
    queue = queue_of(url, Every(minutes=1, missed="all", within=150))
    queue.engine.migrate()
    work_once(queue)
    first, clock = row(queue).due, queue.engine
    clock.move_clock(first + 1 - queue.engine.now())
    work_once(queue)
    clock.move_clock(first + 1 - HOUR - queue.engine.now())
    work_once(queue)
    assert ticks_of(queue) == [first]
    clock.move_clock(first + 61 - queue.engine.now())
    work_once(queue)
    assert ticks_of(queue) == [first, first + 60]
    clock.move_clock(first + 61 + DAY - queue.engine.now())
    with Working(queue) as worker:
        worker.wait_for("ScheduleFired", 3)
    later = [tick for tick in ticks_of(queue) if tick > first + HOUR]  # those before are a day old, and may be pruned
    assert later == [first + DAY + 60 * tick - 60 for tick in range(3)] and "within=150" in (row(queue).last_skip or "")
    queue.close()


def test_each_tick_once_while_workers_are_killed(queue: Queue) -> None:
    """A short form of: five workers, one killed each three seconds, for a minute."""
    from tests.durable import app

    queue.engine.migrate()
    queue.schedules.put("beat", app.add.call(1), Every(seconds=1, missed="all"))
    first = row(queue, "beat").due
    workers: list[Program] = []
    try:
        for _ in range(4):
            workers.append(start_worker("--kind", "thread", "--workers", "1"))
            workers[-1].read_until("is ready")
            if len(workers) > 2:
                workers.pop(0).kill()
        eventually(lambda: row(queue, "beat").due >= first + 4)
    finally:
        for worker in workers:
            worker.kill()
    count = round(row(queue, "beat").due - first)
    assert ticks_of(queue, "beat") == [first + number for number in range(count)]
    assert row(queue, "beat").fired == count


def test_a_failure_between_the_row_and_the_job_leaves_neither(url: str) -> None:
    queue = queue_of(url, Every(minutes=1))
    queue.engine.migrate()
    work_once(queue)
    store, first = queue.engine.schedules, row(queue).due
    queue.engine.move_clock(first + 1 - queue.engine.now())
    read = store.due(["shop.nightly"], 10)  # a worker has read it, and dies
    with refusing(url):
        with pytest.raises(EngineError):
            store.fire([firing_of(read.rows[0], read.now)])
    assert row(queue).due == first and jobs_of(queue) == []
    work_once(queue)
    assert store.fire([firing_of(read.rows[0], read.now)]) == []  # it did not die
    assert ticks_of(queue) == [first] and row(queue).fired == 1
    queue.close()


class refusing:
    """A ``with`` block in which the database refuses every job."""

    def __init__(self, url: str) -> None:
        self._is_file = url.startswith("sqlite")
        self._connection: Any = sqlite3.connect(file_of(url)) if self._is_file else psycopg.connect(url)

    def _do(self, statement: str) -> None:
        self._connection.execute(statement)
        self._connection.commit()

    def __enter__(self) -> None:
        if self._is_file:
            self._do("CREATE TRIGGER refuse BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'not now'); END")
            return
        self._do(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not now'; END $$; CREATE TRIGGER refuse BEFORE INSERT ON steadypool.jobs "
            "FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        )

    def __exit__(self, *_: object) -> None:
        self._do("DROP TRIGGER refuse" if self._is_file else "DROP TRIGGER refuse ON steadypool.jobs")
        self._connection.close()


def test_overlap_skip_runs_one_at_a_time(queue: Queue, stage: Stage) -> None:
    from tests.durable import app

    queue.engine.migrate()
    queue.schedules.put("slow", app.act.call(stage.address), Every(seconds=1, overlap="skip"))
    with Working(queue) as worker:
        actor = stage.enter()
        worker.wait_for("ScheduleSkipped", 2)
        assert len(jobs_of(queue, "slow")) == 1 and row(queue, "slow").skipped >= 2
        first = jobs_of(queue, "slow")[0].id
        assert row(queue, "slow").last_skip == f"overlap: {first} has not ended"
        actor.tell("return")
        stage.enter().tell("return")
        queue.schedules.get("slow").remove()
    queue.close()


def test_a_key_that_a_transaction_holds_open_delays_its_own_schedule_alone(url: str, engine_kind: Any) -> None:
    if engine_kind.name != "postgres":
        pytest.skip("one transaction writes at a time")
    queue = queue_of(url)
    queue.engine.migrate()
    nightly = queue.tasks["shop.nightly"]
    queue.schedules.put("keyed", nightly.options(unique="one").call(), Every(seconds=1))
    queue.schedules.put("free", nightly.call(), Every(seconds=1))
    with psycopg.connect(url) as connection:
        nightly.options(unique="one").enqueue(connection=connection)
        with Working(queue) as worker:
            for _ in range(2):
                worker.wait_for("ScheduleFired", 2)
            assert row(queue, "keyed").fired == 0 and row(queue, "free").fired >= 2
            connection.rollback()
            eventually(lambda: row(queue, "keyed").fired > 0)
    queue.close()


@pytest.mark.parametrize("kind", ["process", "async"])
def test_jobs_of_schedules_run_on_every_kind(queue: Queue, kind: str) -> None:
    from tests.durable import app

    queue.engine.migrate()
    queue.schedules.put("hourly", app.scheduled.call(), Every(hours=1, tz="Asia/Kathmandu"))
    handle = queue.schedules.get("hourly").run()
    with Working(queue, kind, workers=1):
        name, moment = handle.result(WAIT)
    assert name == "hourly" and moment.endswith("+05:45")
    assert is_completed(queue.record(handle.job_id))


def test_a_tick_is_in_the_zone_of_its_schedule() -> None:
    tick = Cron("0 9 * * *", tz="Asia/Kathmandu").local(1_767_225_600.0)
    assert tick == datetime(2026, 1, 1, 5, 45, tzinfo=ZoneInfo("Asia/Kathmandu"))
