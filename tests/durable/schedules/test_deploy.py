"""A deploy: what has not changed goes on, what has does not run at once, what is gone stops, a pause by hand stays."""

from __future__ import annotations

import pytest

from steadypool import Cron, Every, JobHandle, Queue, UnknownSchedule, Worker, WrongState
from steadypool.durable.worker.schedules import RETIRED_AFTER, is_older
from tests.durable.schedules.shop import jobs_of, moments, queue_of, row, ticks_of, work_once
from tests.durable.working import Working
from tests.patience import eventually

pytestmark = pytest.mark.every_engine


@pytest.fixture
def first(url: str) -> Queue:
    """The first version of the program, once a worker of it has been there."""
    queue = queue_of(url, Every(hours=1))
    queue.engine.migrate()
    work_once(queue)
    return queue


def turn_to(queue: Queue, moment: float) -> None:
    queue.engine.move_clock(moment - queue.engine.now())


def test_one_that_has_not_changed_keeps_its_next_tick(url: str, first: Queue) -> None:
    due = row(first).due
    turn_to(first, due - 600)
    for _ in range(10):
        worker = Worker(queue_of(url, Every(minutes=60)))
        worker._scheduler.run_due()
        worker._engine.close()
    assert row(first).due == due and jobs_of(first) == []


def test_one_that_has_changed_does_not_run_at_once(url: str, first: Queue) -> None:
    due = row(first).due
    turn_to(first, due - 1800)
    second = queue_of(url, Every(minutes=20))
    work_once(second)
    assert jobs_of(first) == [] and row(first).due == due - 1200
    turn_to(first, due - 1200 + 1)
    work_once(second)
    assert ticks_of(first) == [due - 1200]


def test_what_was_due_by_the_old_one_is_put_as_the_old_one_says(url: str, first: Queue) -> None:
    due = row(first).due
    turn_to(first, due + 3600 * 2 + 60)
    work_once(queue_of(url, Every(minutes=20, missed="all", args={"number": 2})))
    assert ticks_of(first) == [due + 3600 * 2]  # the latest, without the new one's arguments
    assert jobs_of(first)[0].payload is None or jobs_of(first)[0].payload == b"{}"
    assert row(first).due == due + 3600 * 2 + 1200


def test_one_that_is_gone_stops_is_shown_so_and_begins_from_now_if_it_comes_back(url: str, first: Queue) -> None:
    due = row(first).due
    turn_to(first, due + 7200 + 60)
    with Working(queue_of(url)) as worker:  # no worker of it was there meanwhile
        worker.worker._scheduler._seen_at = 0.0
        wait_until_gone(first)
    assert jobs_of(first) == []
    [handle] = first.schedules.list()
    assert handle.state == "gone" and row(first).retired_at is not None
    turn_to(first, due + 10_800 + 60)
    work_once(first)
    assert jobs_of(first) == [] and row(first).due == due + 14_400 and row(first).retired_at is None


def wait_until_gone(queue: Queue) -> None:
    eventually(lambda: row(queue).retired_at is not None)


def test_a_live_worker_of_the_program_keeps_what_it_declares(url: str, first: Queue) -> None:
    seen = first.engine.schedules.seen
    turn_to(first, first.engine.now() + RETIRED_AFTER * 10)
    assert seen("shop", ["shop.nightly"], RETIRED_AFTER) == []
    assert seen("shop", [], RETIRED_AFTER) == []
    assert seen("another program", [], RETIRED_AFTER) == []
    assert row(first).retired_at is None


def test_a_fleet_that_was_away_for_hours_catches_up(url: str, first: Queue) -> None:
    due = row(first).due
    turn_to(first, due + 5 * 3600 + 60)
    work_once(queue_of(url, Every(hours=1)))
    assert ticks_of(first) == [due + 5 * 3600] and row(first).retired_at is None


def test_a_pause_by_hand_outlives_a_deploy_and_resuming_begins_with_the_next_tick(url: str, first: Queue) -> None:
    due = row(first).due
    first.schedules.get("nightly").pause()
    turn_to(first, due + 60)
    work_once(queue_of(url, Every(hours=1)))
    work_once(queue_of(url, Every(minutes=30)))
    assert jobs_of(first) == [] and row(first).paused and first.schedules.get("nightly").state == "paused"
    first.schedules.get("nightly").resume()
    assert row(first).due == due + 1800
    work_once(queue_of(url, Every(minutes=30)))
    assert jobs_of(first) == []


def test_run_puts_one_job_and_leaves_the_next_tick(url: str, first: Queue) -> None:
    before = row(first)
    handle = first.schedules.get("nightly").run()
    assert isinstance(handle, JobHandle) and handle.job_id.startswith("cron:shop.nightly:")
    assert row(first).due == before.due and row(first).fired == 1
    first.schedules.get("nightly").pause()
    first.schedules.get("nightly").run()
    assert len(jobs_of(first)) == 2


def test_run_keeps_to_one_at_a_time(url: str) -> None:
    queue = queue_of(url, Every(hours=1, overlap="skip"))
    queue.engine.migrate()
    queue.schedules.get("nightly").run()  # no worker has been there
    with pytest.raises(WrongState, match=r"overlap: cron:shop\.nightly:.* has not ended"):
        queue.schedules.get("nightly").run()


@pytest.mark.parametrize("jitter", [0, 90])
def test_next_is_what_is_then_fired(url: str, jitter: float) -> None:
    queue = queue_of(url, Cron("*/7 */3 * * *", tz="Europe/Berlin", missed="all", jitter=jitter))
    queue.engine.migrate()
    work_once(queue)
    expected = moments(queue.schedules.get("nightly").next(5))
    turn_to(queue, expected[-1] + 91)
    with Working(queue) as worker:
        worker.wait_for("ScheduleFired", 5)
    assert ticks_of(queue)[:5] == expected


def test_old_and_new_workers_side_by_side_put_each_tick_once(url: str) -> None:
    old, new = queue_of(url, Every(seconds=1, missed="all")), queue_of(url, Every(seconds=1, missed="all", within=999))
    old.engine.migrate()
    with Working(old), Working(new) as worker:
        begin = row(old).due
        for count in (1, 2):
            worker.wait_for("WorkerRegistered")
            wait_until_due(old, begin + count)
    ticks = ticks_of(old)
    assert ticks == [ticks[0] + number for number in range(len(ticks))] and len(ticks) >= 2


def wait_until_due(queue: Queue, moment: float) -> None:
    eventually(lambda: row(queue).due > moment)


def test_an_older_release_changes_nothing_of_a_later_one(url: str) -> None:
    later, older = queue_of(url, Every(hours=1), release="10"), queue_of(url, Every(hours=2), release="9")
    later.engine.migrate()
    work_once(later)
    report = older.work(kind="thread", until_empty=True)
    assert row(later).release == "10" and later.schedules.get("nightly").schedule == Every(
        seconds=3600, start=later.schedules.get("nightly").schedule.start
    )
    assert any("stays as release 10 has it" in note for note in report.notes)
    assert is_older("9", "10") and is_older("2026-11-19", "2026-11-20") and not is_older(None, "1")


def test_schedules_that_are_data(url: str, first: Queue) -> None:
    nightly = first.tasks["shop.nightly"]
    for number in range(3):
        first.schedules.put(
            f"tenant-{number}", nightly.options(priority=number, tags=(f"tenant:{number}",)).call(number), Every(days=1)
        )
    due = row(first, "tenant-1").due
    turn_to(first, due - 600)
    first.schedules.put("tenant-1", nightly.options(priority=1, tags=("tenant:1",)).call(1), Every(days=1))
    assert row(first, "tenant-1").due == due
    changed = first.schedules.put("tenant-1", nightly.call(9), Every(days=1))
    assert changed.task == "shop.nightly" and row(first, "tenant-1").due == due
    turn_to(first, due + 1)
    work_once(queue_of(url))  # of another version, that declares none of them
    assert [record.priority for name in range(3) for record in jobs_of(first, f"tenant-{name}")] == [0, 0, 2]
    assert jobs_of(first, "tenant-2")[0].tags == ("tenant:2",)
    names = [handle.name for handle in first.schedules.list()]
    assert names == ["shop.nightly", "tenant-0", "tenant-1", "tenant-2"]
    assert [handle.name for handle in first.schedules.list(after="tenant-0", limit=1)] == ["tenant-1"]
    assert len(first.schedules.list(task="shop.nightly")) == 4 == len(first.schedules.list(task="nightly"))
    assert first.schedules.list(task="ightly") == first.schedules.list(task="none") == []
    first.schedules.get("tenant-1").remove()
    with pytest.raises(UnknownSchedule, match="did you mean 'tenant-"):
        first.schedules.get("tenant-1")


def test_what_does_not_fit_is_refused_at_once(url: str, first: Queue) -> None:
    nightly = first.tasks["shop.nightly"]
    with pytest.raises(TypeError, match="name must be a non-empty str such as 'nightly', not 5"):
        first.schedules.get(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="jitter must be so many seconds, such as 60, not inf"):
        Every(days=1, jitter=float("inf"))
    call, put = nightly.call(), first.schedules.put
    for name, what, when, says in (
        ("", call, Every(days=1), "name must be a non-empty str"),
        ("x", nightly, Every(days=1), r"made by task\.call"),
        ("x", call, "* * * * *", r"takes Cron\(...\) or Every"),
        ("x", call, Every(days=1, args={"number": 1}), "the call has the arguments"),
        ("x", call, Every(days=1, name="y"), "called 'x' here, and 'y' there"),
        ("x", nightly.options(id="one").call(), Every(days=1), "id='one', and a schedule puts many"),
        ("x", nightly.options(at=4e9).call(), Every(days=1), "at=4000000000.0"),
        ("shop.nightly", call, Every(days=1), "a task is declared with the schedule 'shop.nightly'"),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            put(name, what, when)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a task is declared with the schedule"):
        queue_of(url).schedules.put("shop.nightly", call, Every(days=1))  # another program declares it
    with pytest.raises(ValueError, match="are those of a schedule's jobs"):
        nightly.options(id=first.schedules.get("nightly").run().job_id).enqueue()
