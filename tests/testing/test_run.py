"""Jobs that run in a test: through the store, on this thread, until nothing is due."""

from __future__ import annotations

import asyncio
import threading
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from steadypool import Cron, JobState, JobTimeout, Queue, Retry, Snooze, Task, current_job
from steadypool.testing import Jobs, Ran, between, job_store
from tests.testing import shop

MOMENTS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.every_engine
def test_what_is_due_runs_and_what_that_enqueues_and_what_is_delayed_waits(jobs: Jobs) -> None:
    shop.sign_up.enqueue(7)
    assert jobs.run() == Ran(completed=1, later=1)
    jobs.assert_enqueued(shop.welcome, 7, delay=60, times=1)
    assert jobs.run() == Ran(later=1) and shop.seen == []
    jobs.advance(minutes=1)
    assert jobs.run() == Ran(completed=1) and shop.seen == [(7, "en")]
    assert [job.state for job in jobs.all()] == ["completed", "completed"]


def test_a_failure_is_raised_here_as_it_was_there(jobs: Jobs) -> None:
    shop.charge.enqueue(3)
    shop.welcome.enqueue(1)
    with pytest.raises(shop.Refused, match="order 3") as failed:
        jobs.run()
    frames = traceback.extract_tb(failed.value.__traceback__)
    assert [frame.name for frame in frames][-1] == "charge" and "_perform" not in {frame.name for frame in frames}
    assert [job.state for job in jobs.all()] == ["retryable", "available"]
    assert jobs.run() == Ran(completed=1, later=1)


@pytest.mark.every_engine
def test_every_attempt_is_seen_in_virtual_time(jobs: Jobs) -> None:
    handle = shop.charge.enqueue(3)
    for attempt in range(1, 6):
        ran = jobs.run(raises=False)
        assert ran.failed == 1 and isinstance(ran.errors[0], shop.Refused) and shop.seen[-1] == attempt
        jobs.advance(hours=1)
    assert jobs.run() == Ran() and handle.state is JobState.DISCARDED and len(handle.errors) == 5


def test_the_last_failure_alone_is_raised_if_so_wanted(jobs: Jobs) -> None:
    shop.charge.enqueue(3)
    assert jobs.run(raises="final").retried == 1
    with pytest.raises(shop.Refused):
        jobs.run_for(hours=10, raises="final")
    assert shop.seen == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match='raises must be True, False or "final"'):
        jobs.run(raises="never")  # type: ignore[arg-type]


def test_values_come_back_as_the_annotation_says(jobs: Jobs) -> None:
    handle = shop.when.enqueue(MOMENTS)
    jobs.run()
    assert handle.result(0) == MOMENTS == jobs.perform(shop.when, MOMENTS)


def test_a_task_that_enqueues_itself_ends_and_is_named(jobs: Jobs) -> None:
    shop.forever.enqueue()
    shop.welcome.enqueue(1)
    with pytest.raises(
        AssertionError, match=r"30 jobs have run, and 1 more are due.* 29 .*shop.forever: does it enqueu"
    ):
        jobs.run(at_most=30)


@pytest.mark.every_engine
def test_at_most_may_be_reached(jobs: Jobs) -> None:
    shop.queue.enqueue_many(shop.welcome, [(number,) for number in range(5)])
    shop.queue.enqueue_many(shop.pay, [(1,), (2,)])
    shop.sign_up.enqueue(1)
    shop.queue.pause("default")
    assert jobs.run(at_most=5).completed == 5  # what is held back by a limit, or paused, is not due
    shop.queue.resume("default")
    assert jobs.run(at_most=2) == Ran(completed=2, later=2)


def test_jobs_of_one_named_queue_run_alone(jobs: Jobs) -> None:
    shop.welcome.enqueue(1)
    shop.sign_up.enqueue(2)
    assert jobs.run(queue="mail") == Ran(completed=1)
    assert [job.task for job in jobs.enqueued()] == ["tests.testing.shop.sign_up"]


def test_a_coroutine_runs_on_a_loop_of_its_own(jobs: Jobs) -> None:
    before = set(threading.enumerate())  # some of other tests may be among them
    handle = shop.fetch.enqueue("x")
    assert jobs.run().completed == 1 and handle.result(0) == "x"
    assert "steadypool-loop" not in {one.name for one in set(threading.enumerate()) - before}


def test_from_asyncio_a_coroutine_runs_on_the_test_s_loop(jobs: Jobs) -> None:
    async def test() -> None:
        await shop.fetch.enqueue_async("x")
        await shop.sign_up.enqueue_async(1)
        with pytest.raises(RuntimeError, match=r"use await jobs.run_async\(\)"):
            jobs.run()
        assert (await jobs.run_async()).completed == 2
        assert shop.seen == [asyncio.get_running_loop()]
        jobs.assert_enqueued(shop.welcome, 1)

    asyncio.run(test())


def test_snoozed_and_cancelled_jobs_are_counted(jobs: Jobs) -> None:
    shop.later.enqueue()
    assert jobs.run() == Ran(returned=1, later=1)
    with pytest.raises(Snooze):
        jobs.perform(shop.later)


def test_a_task_that_no_queue_knows_is_named(jobs: Jobs) -> None:
    other = Queue(jobs.url)
    other.task(print, name="tests.testing.shop.welcomes").enqueue()
    other.close()
    with pytest.raises(
        LookupError, match=r"'tests.testing.shop.welcomes', which no queue here has.*did you mean 'test"
    ):
        jobs.run()


def test_a_task_of_two_queues_is_refused_and_one_that_was_made_anew_is_not() -> None:
    def queue_of(number: int) -> tuple[Queue, Task[[], int]]:
        queue = Queue("sqlite:////nowhere/jobs.db")
        return queue, queue.task(lambda: number, name="shop.number")

    one, first = queue_of(1)
    other, second = queue_of(2)
    with job_store(one, other) as jobs:
        first.enqueue()  # type: ignore[attr-defined]
        assert jobs.run().completed == 1 and jobs.perform(second) == 2
        other.task(lambda: 3, name="shop.other")
        one.task(lambda: 4, name="shop.other").enqueue()
        with pytest.raises(LookupError, match=r"'shop\.other', which two queues have"):
            jobs.run()


def test_perform_runs_one_job_and_no_other(jobs: Jobs) -> None:
    shop.welcome.enqueue(1)
    assert jobs.perform(shop.welcome, 2, lang="de") == "welcome 2" and shop.seen == [(2, "de")]
    assert jobs.perform(shop.fetch, "x") == "x"
    with pytest.raises(shop.Refused):
        jobs.perform(shop.charge, 3, attempt=3)
    assert shop.seen[-1] == 3
    assert [job.state for job in jobs.all()] == ["available", "completed", "completed", "retryable"]


def test_perform_gives_the_attempt_and_meta(jobs: Jobs) -> None:
    @shop.queue.task(name="shop.look", keep=0, retry=Retry(2))
    def look() -> list[object]:
        job = current_job()
        return [job.attempt, job.meta["tenant"]]

    assert jobs.perform(look, attempt=2, meta={"tenant": 42}) == [2, 42]


def test_perform_says_why_a_job_may_not_run(jobs: Jobs) -> None:
    one = shop.welcome.options(unique="k").enqueue(1)
    with pytest.raises(AssertionError, match=f"job {one.id} has its id or unique key"):
        jobs.perform(shop.welcome.options(unique="k"), 2)
    shop.queue.pause("steadypool.perform")
    with pytest.raises(AssertionError, match="may not run now"):
        jobs.perform(shop.welcome, 3)


def test_a_time_limit_that_a_job_heeds(jobs: Jobs) -> None:
    @shop.queue.task(name="shop.slow", timeout=0.01)
    def slow() -> None:
        current_job().sleep(20)

    with pytest.raises(JobTimeout):
        jobs.perform(slow)


def test_a_job_of_a_test_does_not_run_others(jobs: Jobs) -> None:
    shop.queue.task(lambda: jobs.run(), name="shop.nested").enqueue()
    with pytest.raises(RuntimeError, match="running already"):
        jobs.run()


@pytest.mark.every_engine
def test_a_worker_that_is_lost_gives_its_jobs_to_the_next(jobs: Jobs) -> None:
    shop.welcome.enqueue(1)
    shop.welcome.options(delay=60).enqueue(2)
    [lost] = jobs.lose_worker()
    assert lost.arguments["user_id"] == 1 and lost.record.losses == 1 and shop.seen == []
    [lost] = jobs.lose_worker(ran=True, queue="mail")
    assert lost.record.losses == 2 and shop.seen == [(1, "en")]
    assert jobs.run() == Ran(completed=1, later=1) and shop.seen == [(1, "en")] * 2


def test_a_schedule_ticks_by_hand(jobs: Jobs) -> None:
    handle = jobs.tick("nightly")
    jobs.assert_enqueued(shop.nightly)
    jobs.run()
    assert handle.state is JobState.COMPLETED and len(shop.seen) == 1


@pytest.mark.every_engine
def test_schedules_go_through_a_change_of_clocks_in_virtual_time(jobs: Jobs) -> None:
    """02:30 in Berlin is not there on the 28th of March 2027, and is there twice on the 31st of October."""
    jobs.advance(to=datetime(2027, 3, 27, 12, tzinfo=UTC))
    assert jobs.run().completed == 1  # the latest that was missed
    shop.seen.clear()
    assert jobs.run_for(days=3).completed == 3
    assert [moment.isoformat() for moment in shop.seen] == [  # type: ignore[attr-defined]
        "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00", "2027-03-30T02:30:00+02:00"
    ]  # fmt: skip
    jobs.advance(to=datetime(2027, 10, 30, 12, tzinfo=UTC))
    jobs.run()
    shop.seen.clear()
    assert jobs.run_for(days=1).completed == 1
    assert [moment.isoformat() for moment in shop.seen] == ["2027-10-31T02:30:00+02:00"]  # type: ignore[attr-defined]


def test_a_time_without_workers_is_caught_up_as_the_schedule_says(jobs: Jobs) -> None:
    jobs.advance(days=3)
    jobs.assert_enqueued(shop.nightly, times=1)
    assert jobs.run().completed == 1


def test_records_expire(jobs: Jobs) -> None:
    shop.welcome.options(keep=3600).enqueue(1)
    jobs.run()
    jobs.advance(minutes=59)
    assert len(jobs.all(shop.welcome)) == 1
    jobs.advance(minutes=2)
    assert jobs.all(shop.welcome) == []


def test_the_clock_goes_ahead_alone(jobs: Jobs) -> None:
    before = jobs.now()
    jobs.advance(hours=25)
    assert 25 * 3600 <= (jobs.now() - before).total_seconds() < 25 * 3600 + 60
    for wrong in ({"hours": -1}, {"to": before}):
        with pytest.raises(ValueError, match="the clock"):
            jobs.advance(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="by how much"):
        jobs.advance()


def test_a_schedule_that_is_made_at_run_time_ticks_too(jobs: Jobs) -> None:
    shop.queue.schedules.put("hourly", shop.welcome.call(5), Cron("@hourly"))
    assert jobs.run_for(hours=5).completed >= 5
    assert shop.seen.count((5, "en")) == 5


@pytest.mark.every_engine
@pytest.mark.parametrize("tool", ["freezegun", "time-machine"])
def test_a_clock_that_a_tool_has_moved_agrees_with_the_store_s(jobs: Jobs, tool: str) -> None:
    import freezegun
    import time_machine

    shop.welcome.options(delay=60).enqueue(1)
    to = datetime.now(UTC) + timedelta(days=2)
    with freezegun.freeze_time(to) if tool == "freezegun" else time_machine.travel(to):
        jobs.advance(to=to)
        assert abs((jobs.now() - datetime.now(UTC)).total_seconds()) < 60
        jobs.run(raises=False)
        shop.welcome.options(at=datetime.now(UTC) + timedelta(hours=1)).enqueue(2)
        jobs.assert_enqueued(shop.welcome, 2, delay=between(3000, 3700))
    assert (1, "en") in shop.seen


@pytest.mark.every_engine
def test_a_rate_opens_as_the_clock_goes_ahead(jobs: Jobs) -> None:
    shop.queue.enqueue_many(shop.pay, [(1,), (2,), (3,)])
    assert jobs.run() == Ran(completed=1, later=2) and jobs.run() == Ran(later=2)
    jobs.assert_enqueued(shop.pay, times=2)
    with pytest.raises(AssertionError, match="may not run now: limit stripe"):
        jobs.perform(shop.pay, 4)
    jobs.advance(seconds=61)
    assert jobs.run().completed == 1 and shop.seen == [1, 2]
    jobs.run_for(minutes=5)
    assert shop.seen == [1, 2, 3]


@pytest.mark.every_engine
def test_what_waits_for_other_jobs_counts_as_enqueued_and_runs_after_them(jobs: Jobs) -> None:
    with shop.queue.batch("orders", then=shop.report.call()) as batch:
        first = shop.welcome.enqueue(1)
        shop.welcome.options(after=[first]).enqueue(2)
        failed = shop.charge.options(retry=None).enqueue(3)
        shop.welcome.options(after=[failed]).enqueue(4)
    jobs.assert_enqueued(shop.welcome, 2)
    assert [job.state for job in jobs.enqueued(shop.welcome)] == ["available", "waiting", "waiting"]
    ran = jobs.run(raises=False)
    assert (ran.completed, ran.discarded) == (2, 1)
    assert shop.seen.index((1, "en")) < shop.seen.index((2, "en"))
    assert batch.progress().finished and batch.progress().cancelled == 1
    jobs.refute_enqueued(shop.report)
