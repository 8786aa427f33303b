"""Limits: what they hold back waits without a worker, and goes as soon as it may."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest

from steadypool import JobCancelled, JobTimeout, Limit, Outcome, ProcessPool, QueueFull, Retry, ThreadPool, task
from tests.patience import LONG, WAIT
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.on_a_loop import OnALoop
from tests.pools.contract.stage import Stage

numbers = count()


def limit(**how: Any) -> Limit:
    """A limit of no other test."""
    return Limit(f"limit-{next(numbers)}", **how)


def by_name(**how: Any) -> Any:
    """A task that is limited for each actor's name."""
    return task(jobs.act, limit=limit(by="name", **how))


def held(pool: Any) -> int:
    """How many jobs are held back."""
    return sum(pool.stats().held_back.values())


def test_what_is_held_back_takes_no_worker_and_others_pass_it(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)
    one = limit(running=1)
    limited = task(jobs.act, limit=one, timeout=LONG)
    first, actor = stage.start(pool, "first", limited)
    second = pool.submit(limited, stage.address, "second")
    third = pool.submit(limited, stage.address, "third")
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    stats = pool.stats()
    assert (stats.waiting, stats.running, dict(stats.held_back)) == (2, 1, {one.name: 2})
    assert f"held back by limit {one.name}: 1 of 1 running: 2 jobs" in pool.dump()
    assert (second.attempts, second.running()) == (0, False)
    actor.tell("return")
    actor = stage.enter()
    assert actor.name == "second" and first.result(WAIT) == "first" and held(pool) == 1
    actor.tell("return")
    stage.enter().tell("return")
    assert [second.result(WAIT), third.result(WAIT)] == ["second", "third"]
    assert held(pool) == 0


def test_each_value_is_counted_for_itself(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(4)
    limited = by_name(running=1)
    for name in ("a", "b", "a", "b", "c"):
        pool.submit(limited, stage.address, name)
    actors = stage.enter_many(3)
    assert sorted(actors) == ["a", "b", "c"] and held(pool) == 2
    actors["b"].tell("return")
    again = stage.enter()
    assert again.name == "b" and held(pool) == 1
    for actor in (
        *actors.values(),
        again,
    ):
        actor.close()
    assert stage.enter().name == "a"


def test_starts_are_counted_as_well(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(4)
    limited = task(jobs.same, limit=limit(starts=2, per=3600))
    futures = [pool.submit(limited, number) for number in range(4)]
    assert [future.result(WAIT) for future in futures[:2]] == [0, 1]
    assert held(pool) == 2 and futures[2].attempts == 0
    assert "2 starts in 3600 s, the next in 1" in pool.dump()
    assert futures[3].cancel() and held(pool) == 1
    assert futures[2].cancel() and held(pool) == 0


def test_a_rate_lets_jobs_go_one_by_one(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4)
    limited = task(jobs.same, limit=limit(starts=50, per=1, burst=1))
    assert [future.result(WAIT) for future in [pool.submit(limited, number) for number in range(6)]] == [*range(6)]


def test_a_held_job_is_cancelled_or_runs_out_of_time(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)
    limited = task(jobs.act, limit=limit(running=1))
    _, actor = stage.start(pool, fn=limited)
    cancelled = pool.submit(limited, stage.address)
    late = pool.submit(limited.options(total_timeout=0.05), stage.address)
    assert cancelled.cancel() and cancelled.cancelled()
    with pytest.raises(JobTimeout, match="total_timeout"):
        late.result(WAIT)
    assert (late.outcome, late.attempts) == (Outcome.TIMED_OUT, 0)
    actor.tell("return")
    assert stage.start(pool, "next", limited)[1].name == "next"


def test_a_time_limit_counts_from_the_start(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=LONG)
    one = limit(running=1)
    _, actor = stage.start(pool, fn=task(jobs.act, limit=one))
    second = pool.submit(task(jobs.act, limit=one, timeout=0.05), stage.address, "second")
    with pytest.raises(JobTimeout):
        pool.submit(task(jobs.act, timeout=0.1), stage.address).result(WAIT)
    stage.enter().tell("return")
    assert not second.done()
    actor.tell("return")
    assert stage.enter().name == "second"
    with pytest.raises(JobTimeout):
        second.result(WAIT)


def test_a_job_that_goes_on_after_its_time_limit_keeps_its_place(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, cancel_grace=LONG)
    one = limit(running=1)
    first, actor = stage.start(pool, fn=task(jobs.act, limit=one, timeout=0.05))
    assert actor.ask("told")[1] == "timeout"
    with pytest.raises(JobTimeout):
        first.result(WAIT)
    second = pool.submit(task(jobs.act, limit=one), stage.address, "second")
    assert held(pool) == 1 and not second.done()
    actor.tell("return")
    assert stage.enter().name == "second"


def test_a_job_that_is_given_up_gives_its_place_back(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.05)
    one = limit(running=1)
    first, _ = stage.start(pool, fn=task(jobs.act, limit=one))
    second = pool.submit(task(jobs.act, limit=one), stage.address, "second")
    assert first.cancel(running=True)
    with pytest.raises(JobCancelled):
        first.result(WAIT)
    assert stage.enter().name == "second"
    assert first.outcome is Outcome.CANCELLED and not second.done()


def test_a_job_between_two_attempts_holds_no_place(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)
    one = limit(running=1)
    failing = task(jobs.act, limit=one, retry=Retry(2, backoff=0.01))
    first, actor = stage.start(pool, "first", failing)
    second = pool.submit(task(jobs.act, limit=one), stage.address, "second")
    actor.tell("fail")
    actor = stage.enter()
    assert actor.name == "second"  # it has waited longer, and the place was free at once
    actor.tell("return")
    stage.enter().tell("return")
    assert (first.result(WAIT), second.result(WAIT), first.attempts) == ("first", "second", 2)


def test_a_crash_gives_the_place_back(kind: Kind, make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    one = limit(running=1)
    ends = task(jobs.crash if kind.kills else jobs.fail, limit=one)
    futures = [pool.submit(ends) for _ in range(3)]
    assert all(future.exception(WAIT) is not None for future in futures)
    assert pool.submit(task(jobs.same, limit=one), 1).result(WAIT) == 1


def test_maps_obey(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4)
    limited = task(jobs.double, limit=limit(running=1))
    assert list(pool.map(limited, range(30), chunksize=10)) == [2 * number for number in range(30)]
    assert sorted(pool.map_unordered(limited, range(30))) == [2 * number for number in range(30)]
    assert pool.stats().held_back == {}


def test_a_drain_runs_what_is_held_back(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(4)
    limited = task(jobs.sleep, limit=limit(running=2))
    futures = [pool.submit(limited, 0.002) for _ in range(20)]
    report = pool.drain(WAIT)
    assert report.on_time and all(future.outcome is Outcome.SUCCEEDED for future in futures)


def test_a_drain_that_ends_gives_back_what_is_held(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(4, cancel_grace=0.05)
    limited = task(jobs.act, limit=limit(running=1))
    first, _ = stage.start(pool, fn=limited)
    futures = [pool.submit(limited, stage.address) for _ in range(5)]
    report = pool.drain(0.01)
    assert first.outcome is Outcome.INTERRUPTED
    assert {future.outcome for future in futures} == {Outcome.RETURNED}
    assert report.stats.balanced and len(report.unfinished) == 5


def test_the_bound_counts_what_is_held(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, queue_size=2)
    limited = task(jobs.act, limit=limit(running=1))
    _, actor = stage.start(pool, fn=limited)
    futures = [pool.submit(limited, stage.address, name) for name in ("a", "b")]
    with pytest.raises(QueueFull):
        pool.try_submit(limited, stage.address)
    assert futures[0].cancel()
    assert pool.try_submit(jobs.same, 1).result(WAIT) == 1
    actor.tell("return")
    assert stage.enter().name == "b"
    futures = [pool.try_submit(limited, stage.address) for _ in range(2)]
    with pytest.raises(QueueFull):
        pool.try_submit(limited, stage.address)


@pytest.mark.parametrize("on_full", ["reject", "caller_runs", "discard_oldest"])
def test_whatever_becomes_of_a_full_queue(make_pool: Callable[..., Any], stage: Stage, on_full: str) -> None:
    pool = make_pool(2, queue_size=1, on_full=on_full)
    limited = task(jobs.act, limit=limit(running=1))
    _, actor = stage.start(pool, fn=limited)
    held_back = pool.submit(limited, stage.address, "held")
    if on_full == "reject":
        with pytest.raises(QueueFull):
            pool.submit(limited, stage.address)
    elif on_full == "discard_oldest":
        pool.submit(limited, stage.address)
        assert held_back.outcome is Outcome.CANCELLED
    else:
        with pytest.raises(QueueFull, match="within"):
            pool.submit_within(0.01, limited, stage.address)
        actor.tell("return")
        assert stage.enter().name == "held"


def test_lanes_take_turns(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    in_lanes = task(jobs.act, lane="name")
    _, actor = stage.start(pool)
    names = ["a"] * 5 + ["b", "c"] + ["b"]
    for name in names:
        pool.submit(in_lanes, stage.address, name)
    order = []
    for _ in names:
        actor.tell("return")
        actor = stage.enter()
        order.append(actor.name)
    assert order == ["a", "b", "c", "a", "b", "a", "a", "a"]


def test_in_a_lane_the_order_is_that_of_priority(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    in_lane = task(jobs.act).options(lane="one for all")
    _, actor = stage.start(pool)
    for name, priority in (("low", -5), ("first", 0), ("second", 0), ("high", 5)):
        pool.submit(in_lane.options(priority=priority), stage.address, name)
    order = []
    for _ in range(4):
        actor.tell("return")
        actor = stage.enter()
        order.append(actor.name)
    assert order == ["high", "first", "second", "low"]


def test_a_lane_waits_behind_no_stream_of_others(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    _, actor = stage.start(pool)
    pool.submit(jobs.act, stage.address, "plain-1")
    pool.submit(task(jobs.act, lane="name", priority=-9), stage.address, "laned")
    pool.submit(jobs.act, stage.address, "plain-2")
    order = []
    for _ in range(3):
        actor.tell("return")
        actor = stage.enter()
        order.append(actor.name)
    assert order == ["plain-1", "laned", "plain-2"]


def test_discard(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)
    one = limit(running=1, over="discard")
    limited = task(jobs.act, limit=one)
    first, actor = stage.start(pool, fn=limited)
    second = pool.submit(limited, stage.address)
    with pytest.raises(JobCancelled, match=f"limit {one.name} is reached"):
        second.result(WAIT)
    assert (second.outcome, second.attempts, held(pool)) == (Outcome.CANCELLED, 0, 0)
    actor.tell("return")
    assert first.result(WAIT) == "actor"
    assert stage.start(pool, "third", limited)[1].name == "third"


def test_replace_keeps_the_newest_of_each_key(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2)
    limited = by_name(running=1, over="replace")
    _, actor = stage.start(pool, "a", limited)
    second, third = (pool.submit(limited, stage.address, "a") for _ in range(2))
    with pytest.raises(JobCancelled, match=rf"job {third.job_id} has replaced it"):
        second.result(WAIT)
    fourth, other = stage.start(pool, "b", limited)
    assert held(pool) == 1 and not fourth.done()
    actor.tell("return")
    assert stage.enter().name == "a" and not third.done()
    other.close()


def test_pools_share_a_limit(make_pool: Callable[..., Any], stage: Stage) -> None:
    one = limit(running=1)
    limited = task(jobs.act, limit=one)
    pools = [make_pool(2), ThreadPool(2), ProcessPool(2), OnALoop(2)]
    try:
        _, actor = stage.start(pools[0], "0", limited)
        for number, pool in enumerate(pools[1:], 1):
            pool.submit(limited, stage.address, str(number))
            assert held(pool) == 1
        seen = set()
        for _ in range(3):
            actor.tell("return")
            actor = stage.enter()
            seen.add(actor.name)
        assert seen == {"1", "2", "3"}
        actor.tell("return")
    finally:
        stage.close()
        for pool in pools[1:]:
            pool.drain(WAIT)


def test_a_call_without_a_key_fails_alone(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    limited = task(jobs.same, limit=limit(running=1, by="value"))
    wrong = pool.submit(limited, object())
    with pytest.raises(TypeError, match=r"Limit\(by\)='value'"):
        wrong.result(WAIT)
    with pytest.raises(TypeError, match="argument"):
        pool.submit(limited).result(WAIT)
    assert pool.submit(limited, 1).result(WAIT) == 1


def test_the_key_of_a_partial(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    limited = task(jobs.add, limit=limit(starts=1, per=3600, by="one"))
    assert pool.submit(partial(limited, 1), 2).result(WAIT) == 3
    assert pool.submit(limited, 2, 2).result(WAIT) == 4
    third = pool.submit(limited, 1, 2)
    assert held(pool) == 1 and third.cancel()


@pytest.mark.differs_on("asyncio", "these tests wrap functions there: see tests/pools/aio/test_limits.py")
def test_the_key_of_a_method(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    assert pool.submit(jobs.Counter(5).limited_plus, 1).result(WAIT) == 6
    assert pool.submit(partial(jobs.Counter(5).limited_plus, 1)).result(WAIT) == 6
