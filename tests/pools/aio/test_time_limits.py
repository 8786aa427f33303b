"""Time limits, and coroutines that do not stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from steadypool import AsyncPool, JobCancelled, JobTimeout, Outcome, Retry, current_job, task
from steadypool.model import events
from steadypool.primitives.deadlines import MAX_LINES, Deadlines
from steadypool.primitives.timers import Timers
from tests.patience import LONG, WAIT
from tests.pools.aio.cues import Cue, hang, hang_deep, same, turns, until

Make = Callable[..., AsyncPool]


async def test_the_limit_stops_the_work(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()
    began = monotonic()
    future = await pool.submit(task(cue, timeout=0.05))
    with pytest.raises(JobTimeout) as caught:
        await future
    assert 0.045 <= monotonic() - began < WAIT
    error = caught.value
    assert (error.job_id, error.seconds, error.limit) == (future.job_id, 0.05, "timeout")
    assert "in __call__" in error.stack and "cues.py" in error.stack and "attempt.py" not in error.stack
    assert (future.outcome, future.cancelled(), isinstance(error, TimeoutError)) == (Outcome.TIMED_OUT, False, True)
    await cue.wait_cancelled()
    assert await pool.run(same, 1) == 1
    [group] = pool.errors()
    assert group.type_name == "steadypool.JobTimeout" and group.where


async def test_the_stack_follows_what_is_awaited(make_pool: Make) -> None:
    pool = make_pool(1)

    async def through_a_task() -> None:
        await asyncio.create_task(hang_deep())

    with pytest.raises(JobTimeout) as caught:
        await pool.run(task(through_a_task, timeout=0.02))
    names = [line.split(" in ")[-1] for line in caught.value.stack.splitlines() if " in " in line]
    assert names == ["through_a_task", "hang_deep", "hang"]


async def test_the_pools_own_limit_and_a_tasks_way_out(make_pool: Make) -> None:
    pool = make_pool(timeout=0.02)
    with pytest.raises(JobTimeout):
        await pool.run(hang)
    cue = Cue()
    future = await pool.submit(task(cue, timeout=float("inf")))
    await cue.wait_started()
    with pytest.raises(JobTimeout):
        await pool.run(hang)
    cue.go()
    assert await future == "done"


async def test_total_timeout_while_waiting(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    await pool.submit(cue)
    future = await pool.submit(task(same, total_timeout=0.02))
    with pytest.raises(JobTimeout) as caught:
        await future
    assert caught.value.limit == "total_timeout" and future.attempts == 0
    cue.go()


async def test_total_timeout_while_running_and_between_attempts(make_pool: Make) -> None:
    pool = make_pool(1)
    with pytest.raises(JobTimeout) as caught:
        await pool.run(task(hang, total_timeout=0.02, timeout=LONG))
    assert caught.value.limit == "total_timeout"

    async def fails() -> None:
        raise OSError

    with pytest.raises(OSError):
        await pool.run(task(fails, total_timeout=0.05, retry=Retry(100, backoff=0.02)))


async def test_a_job_that_is_late_never_starts(make_pool: Make) -> None:
    pool, cue, started = make_pool(1), Cue(), []

    async def note() -> None:
        started.append(1)

    await pool.submit(cue)
    await cue.wait_started()
    future = await pool.submit(task(note, total_timeout=0.01))
    cue.go()
    until = monotonic() + 0.03
    while monotonic() < until:
        pass  # the loop is held up: the place becomes free before the timer has rung
    with pytest.raises(JobTimeout):
        await future
    assert started == []


async def test_retried_when_named(make_pool: Make) -> None:
    pool, attempts = make_pool(1, cancel_grace=LONG), []

    async def hangs_once() -> int:
        attempts.append(current_job().attempt)
        if len(attempts) == 1:
            await hang()
        return len(attempts)

    retry = Retry(2, on=JobTimeout, backoff=0)
    assert await pool.run(task(hangs_once, timeout=0.02, retry=retry)) == 2
    attempts.clear()
    with pytest.raises(JobTimeout):
        await pool.run(task(hangs_once, timeout=0.02, retry=Retry(2, backoff=0)))


async def test_what_it_returns_after_the_limit_is_dropped(make_pool: Make) -> None:
    pool, done = make_pool(1, cancel_grace=LONG), asyncio.Event()

    async def too_late() -> str:
        try:
            await hang()
        except asyncio.CancelledError:
            assert current_job().cause == "timeout"
        done.set()
        return "too late"

    with pytest.raises(JobTimeout):
        await pool.run(task(too_late, timeout=0.01))
    await done.wait()
    await turns()
    assert pool.stats().timed_out == 1 and pool.stats().workers == 0


async def test_a_stuck_job_gives_its_place_to_another(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=0.02), Cue()
    seen: list[events.Event] = []
    at_the_limit: list[int] = []

    def note(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.JobTimedOut):
            at_the_limit.append(pool.stats().workers)

    pool.subscribe(note)
    future = await pool.submit(task(cue.swallow, timeout=0.02))
    with pytest.raises(JobTimeout):
        await future
    assert at_the_limit == [1], "in its grace, it has its place still"
    assert await pool.run(same, 1) == 1
    stats = pool.stats()
    assert (stats.stuck, stats.capacity, stats.running) == (1, 1, 0)
    [stuck] = [event for event in seen if isinstance(event, events.JobStuck)]
    assert stuck.job_id == future.job_id and "in swallow" in stuck.stack
    cue.go()
    await cue.wait_ended()
    await turns()
    assert pool.stats().stuck == 0
    assert [type(event) for event in seen if isinstance(event, events.WorkerEnded)]


async def test_the_limit_of_a_job_that_was_given_up_before(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=0.0), Cue()
    stuck = await pool.submit(task(cue.swallow, timeout=0.03))
    await cue.wait_started()
    stuck.cancel(running=True)
    with pytest.raises(JobCancelled):
        await stuck
    with pytest.raises(JobTimeout):
        await pool.run(task(hang, timeout=0.05))  # its own limit is watched all the same
    assert (pool.stats().stuck, pool.stats().timed_out, pool.stats().cancelled) == (1, 1, 1)
    cue.go()
    await cue.wait_ended()
    await turns()


async def test_too_many_stuck_jobs_shrink_the_pool(make_pool: Make) -> None:
    pool, cue = make_pool(2, cancel_grace=0.01), Cue()
    futures = [await pool.submit(task(cue.swallow, timeout=0.01)) for _ in range(4)]
    for future in futures:
        with pytest.raises(JobTimeout):
            await future
    await until(lambda: pool.stats().stuck == 4)
    assert pool.stats().capacity == 0
    waiting = await pool.submit(same, 1)
    await turns()
    assert not waiting.done()
    cue.go()
    assert await waiting == 1
    assert pool.stats().capacity == 2


async def test_the_report_names_the_stuck_and_asyncio_gets_rid_of_them(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=0.02), Cue()
    future = await pool.submit(cue.swallow)
    await cue.wait_started()
    report = await pool.drain(0.02)
    [row] = report.stuck
    assert (row.id, row.cause) == (future.job_id, "shutdown") and "in swallow" in row.stack
    assert future.outcome is Outcome.INTERRUPTED and not report.ok and "stuck:" in str(report)


async def test_asyncio_timeout_inside_a_job(pool: AsyncPool) -> None:
    async def own_limit() -> str:
        try:
            async with asyncio.timeout(0.01):
                await hang()
        except TimeoutError:
            own = asyncio.current_task()
            return "its own" if own is not None and own.cancelling() == 0 else "cancelled"
        return "none"

    assert await pool.run(task(own_limit, timeout=LONG)) == "its own"


async def test_the_pools_limit_goes_through_an_asyncio_timeout(make_pool: Make) -> None:
    pool, seen = make_pool(cancel_grace=LONG), []

    async def own_limit() -> None:
        try:
            async with asyncio.timeout(LONG):
                await hang()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(JobTimeout):
        await pool.run(task(own_limit, timeout=0.01))
    await turns()
    assert seen == ["cancelled"]


async def test_one_timer_serves_all(pool: AsyncPool) -> None:
    pool.resize(1000)
    cue = Cue()
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later
    try:
        loop.call_later = lambda *args, **kwargs: timers.append(args) or call_later(*args, **kwargs)  # type: ignore
    except AttributeError:
        return  # uvloop's methods cannot be replaced
    futures = [await pool.submit(task(cue, timeout=LONG)) for _ in range(500)]
    await cue.wait_started(500)
    assert len(timers) == 1
    cue.go()
    await asyncio.gather(*futures)


def test_deadlines_in_many_lengths() -> None:
    up: list[Any] = []
    timers = Timers()
    deadlines = Deadlines(timers, up.append)
    for number in range(3 * MAX_LINES):
        for copy in "ab":
            deadlines.add(f"{copy}{number}", float(number), 100.0 + number)
    assert deadlines.next_due() == 100.0
    assert timers.next_due() == 100.0 + MAX_LINES
    for number in range(3 * MAX_LINES):
        deadlines.remove(f"a{number}", float(number))
    deadlines.remove("unknown", 3.0)
    deadlines.remove("unknown", 1e9)
    deadlines.do_due(100.0 + MAX_LINES / 2)
    while (due := timers.take_due(100.0 + MAX_LINES)) is not None:
        due[0](*due[1])
    assert up == [f"b{number}" for number in [*range(MAX_LINES // 2 + 1), MAX_LINES]]
    assert deadlines.next_due() == 100.0 + MAX_LINES // 2 + 1
