"""What the pool tells its sinks."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Outcome, QueueFull, Retry, task
from steadypool.model import events
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch


def test_the_story_of_a_job_that_succeeds(pool: Any) -> None:
    watch = Watch(pool)
    future = pool.submit(task(jobs.same, id="a", name="the task", meta={"tenant": 1}), 1)
    future.result(WAIT)
    assert watch.story("a") == ["JobSubmitted", "JobStarted", "JobSucceeded"]
    submitted, started, ended = [e for e in watch.events if isinstance(e, events.JobEvent)]
    for event in (submitted, started, ended):
        assert (event.pool, event.task, event.meta) == (pool.name, "the task", {"tenant": 1})
    assert submitted.at <= started.at <= ended.at
    assert (submitted.attempt, started.attempt, ended.attempt) == (0, 1, 1)
    assert started.waited >= 0 and started.worker
    assert (ended.outcome, ended.error) == (Outcome.SUCCEEDED, None) and ended.ran >= 0


def test_events_are_frozen(pool: Any) -> None:
    watch = Watch(pool)
    pool.submit(jobs.nothing).result(WAIT)
    for event in watch.events:
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.pool = "other"


def test_the_story_of_a_retried_job(pool: Any, tmp_path: Any) -> None:
    watch = Watch(pool)
    future = pool.submit(task(jobs.always_fail, id="a", retry=Retry(2, backoff=0)), str(tmp_path / "notes"))
    future.exception(WAIT)
    assert watch.story("a") == ["JobSubmitted", "JobStarted", "JobRetryScheduled", "JobStarted", "JobFailed"]
    [retrying] = watch.of(events.JobRetryScheduled)
    assert isinstance(retrying.error, OSError) and retrying.delay == 0 and retrying.attempt == 1
    [failed] = watch.of(events.JobFailed)
    assert failed.attempt == 2 and failed.error is future.exception()


def test_the_story_of_a_job_that_is_told_to_stop(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    watch = Watch(pool)
    cancelled, actor = stage.start(pool, fn=task(jobs.act, id="a"))
    cancelled.cancel(running=True)
    actor.tell("obey")
    cancelled.exception(WAIT)
    assert watch.story("a") == ["JobSubmitted", "JobStarted", "JobStopRequested", "JobCancelled"]
    late, actor = stage.start(pool, fn=task(jobs.act, id="b", timeout=0.05))
    late.exception(WAIT)
    actor.tell("return")
    pool.submit(jobs.nothing).result(WAIT)
    assert watch.story("b") == ["JobSubmitted", "JobStarted", "JobStopRequested", "JobTimedOut"]
    assert [event.cause for event in watch.of(events.JobStopRequested)] == ["cancelled", "timeout"]


def test_the_story_of_jobs_that_never_start(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30, queue_size=3)
    watch = Watch(pool)
    _, actor = stage.start(pool)
    pool.submit(task(jobs.nothing, id="c")).cancel()
    pool.submit(task(jobs.nothing, id="e", total_timeout=0.01)).exception(WAIT)
    pool.submit(task(jobs.nothing, id="r"))
    actor.tell("obey")
    pool.drain(0)
    assert watch.story("c") == ["JobSubmitted", "JobCancelled"]
    assert watch.story("e") == ["JobSubmitted", "JobTimedOut"]
    assert watch.story("r") == ["JobSubmitted", "JobReturned"]
    assert len(watch.of(events.JobInterrupted)) == 1


def test_a_rejected_job_has_no_story(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    watch = Watch(pool)
    stage.occupy(pool)
    pool.submit(jobs.nothing)
    with pytest.raises(QueueFull):
        pool.try_submit(task(jobs.nothing, name="refused"))
    assert [event.task for event in watch.of(events.JobRejected)] == ["refused"]
    assert len(watch.of(events.JobSubmitted)) == 2


def test_waiting_for_room_in_a_map_is_no_rejection(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, queue_size=1, on_full="reject")
    watch = Watch(pool)
    assert len(list(pool.map(jobs.same, range(50), buffersize=10))) == 50
    assert watch.of(events.JobRejected) == []


@pytest.mark.differs_on("asyncio", "a worker is a task for one job, and not announced")
def test_the_story_of_the_pool(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    watch = Watch(pool)
    _, actor = stage.start(pool)
    watch.wait_for(events.WorkerStarted)
    pool.resize(2)
    actor.tell("obey")
    report = pool.drain(0.1)
    kinds = [type(event).__name__ for event in watch.events if not isinstance(event, events.JobEvent)]
    assert kinds[0] == "WorkerStarted"
    assert [k for k in kinds if k.startswith("Pool")] == ["PoolDraining", "PoolCancelling", "PoolClosing"]
    assert watch.of(events.PoolDraining)[0].seconds == 0.1
    assert watch.of(events.PoolClosing)[0].on_time is report.on_time is False
    changed = watch.of(events.CapacityChanged)
    assert (changed[0].capacity, changed[0].max_workers) == (2, 2)
    watch.wait_for(events.WorkerEnded)


def test_one_job_s_events_are_in_order_under_load(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4, queue_size=10)
    watch = Watch(pool)
    futures = [pool.submit(jobs.same, n) for n in range(500)]
    pool.drain(WAIT)
    stories: dict[str, list[str]] = {}
    for event in watch.events:
        if isinstance(event, events.JobEvent):
            stories.setdefault(event.job_id, []).append(type(event).__name__)
    assert len(stories) == len(futures) == 500
    assert {tuple(story) for story in stories.values()} == {("JobSubmitted", "JobStarted", "JobSucceeded")}


def test_the_end_is_told_before_a_waiter_wakes(pool: Any) -> None:
    watch = Watch(pool)
    for number in range(100):
        pool.submit(jobs.nothing).result(WAIT)
        assert len(watch.of(events.JobSucceeded)) == number + 1


def test_a_sink_that_raises_is_muted_and_counted(pool: Any) -> None:
    def raises(event: events.Event) -> None:
        raise RuntimeError("a broken sink")

    pool.subscribe(raises)
    watch = Watch(pool)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert isinstance(pool.submit(jobs.fail).exception(WAIT), ValueError)
    assert pool.stats().sink_errors >= 6
    assert len(watch.of(events.JobEnded)) == 2
    assert pool.drain(WAIT).ok


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_a_sink_that_raises_an_exit_does_no_harm(pool: Any, error: BaseException) -> None:
    def raises(event: events.Event) -> None:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            return  # there it may be a real Ctrl-C, which is not to be lost
        if isinstance(event, events.JobStarted | events.JobEnded | events.WorkerStarted):
            raise error

    pool.subscribe(raises)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.drain(WAIT).stats.succeeded == 1


def test_unsubscribing(pool: Any) -> None:
    watch = Watch(pool)
    pool.submit(jobs.nothing).result(WAIT)
    watch.unsubscribe()
    watch.unsubscribe()
    count = len(watch.events)
    pool.submit(jobs.nothing).result(WAIT)
    pool.drain(WAIT)
    assert len(watch.events) == count


def test_a_sink_that_is_subscribed_twice_gets_each_event_once(pool: Any) -> None:
    watch = Watch(pool)
    unsubscribe = pool.subscribe(watch)
    pool.submit(task(jobs.nothing, id="a")).result(WAIT)
    assert watch.story("a") == ["JobSubmitted", "JobStarted", "JobSucceeded"]
    for end in (unsubscribe, unsubscribe):
        end()
        pool.submit(task(jobs.nothing, id="b")).result(WAIT)
    assert len(watch.story("b")) == 6, "it is subscribed once still"
    watch.unsubscribe()
    pool.submit(task(jobs.nothing, id="c")).result(WAIT)
    assert watch.story("c") == []


def test_a_sink_that_leaves_in_its_own_call(pool: Any) -> None:
    seen: list[Any] = []
    others = Watch(pool)

    def once(event: events.Event) -> None:
        seen.append(event)
        unsubscribe()

    unsubscribe = pool.subscribe(once)
    last = Watch(pool)
    pool.submit(task(jobs.nothing, id="a")).result(WAIT)
    assert len(seen) == 1
    assert others.story("a") == last.story("a") == ["JobSubmitted", "JobStarted", "JobSucceeded"]
    assert pool.stats().sink_errors == 0


def test_a_sink_that_brings_another(pool: Any) -> None:
    late: list[Watch] = []

    def bring(event: events.Event) -> None:
        if isinstance(event, events.JobSubmitted) and not late:
            late.append(Watch(pool))

    pool.subscribe(bring)
    pool.submit(task(jobs.nothing, id="a")).result(WAIT)
    assert late[0].story("a") == ["JobStarted", "JobSucceeded"]


def test_subscribing_while_jobs_wait_and_run(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    (_, actor), queued = stage.start(pool), pool.submit(task(jobs.nothing, id="q"))
    watch = Watch(pool)
    actor.tell("return")
    queued.result(WAIT)
    assert watch.story("q") == ["JobStarted", "JobSucceeded"]


def test_no_event_is_made_while_nobody_listens(pool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"{type(self).__name__} was made though nobody listens")

    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    for kind in kinds:
        monkeypatch.setattr(kind, "__init__", refuse)
    watch_nothing = pool.subscribe(print)
    watch_nothing()
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert isinstance(pool.submit(jobs.fail).exception(WAIT), ValueError)
    again = task(jobs.fail_until, retry=Retry(2, backoff=0), timeout=100)
    assert pool.submit(again, str(tmp_path / "notes"), 2).result(WAIT) == 2
    pool.resize(3)
    assert pool.drain(WAIT).ok


@pytest.mark.parametrize("sink", [None, 3, "print"])
def test_what_cannot_be_called_is_no_sink(pool: Any, sink: Any) -> None:
    with pytest.raises(TypeError, match="subscribe"):
        pool.subscribe(sink)
