"""The end of a pool: drain, shutdown, the report, and loops that end first."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from time import monotonic

import pytest

from steadypool import AsyncPool, JobCancelled, Outcome, PoolState, Retry, task
from steadypool.model import events
from tests.patience import LONG, WAIT
from tests.pools.aio.cues import Cue, fail, hang, same, turns, until

Make = Callable[..., AsyncPool]


async def test_a_drain_lets_everything_end(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    seen: list[events.Event] = []
    pool.subscribe(seen.append)
    futures = [await pool.submit(cue, number) for number in range(3)]
    draining = asyncio.create_task(pool.drain(LONG))
    await turns()
    assert pool.state is PoolState.DRAINING and not draining.done()
    cue.go()
    report = await draining
    assert report.ok and report.on_time and report.stats.succeeded == 3 and "on time" in str(report)
    assert [await future for future in futures] == [0, 1, 2]
    assert isinstance(seen[-1], events.PoolClosing)
    assert await pool.drain() is report and await pool.drain(0) is report


async def test_a_drain_ends_on_time(make_pool: Make) -> None:
    pool, cue = make_pool(2, cancel_grace=1.0), Cue()
    running, stubborn = await pool.submit(cue, "arg"), await pool.submit(cue.swallow)
    waiting = await pool.submit(task(same, name="the waiting one"), "arg")
    await cue.wait_started(2)
    began = monotonic()
    report = await pool.drain(0.05)
    assert 1.04 <= monotonic() - began < WAIT
    assert not report.ok and not report.on_time and report.stats.balanced
    assert [(job.id, job.task, job.arguments) for job in report.unfinished] == [
        (waiting.job_id, "the waiting one", "('arg')")
    ]
    assert [job.id for job in report.interrupted] == [running.job_id, stubborn.job_id]
    assert [job.id for job in report.stuck] == [stubborn.job_id]
    assert (running.outcome, stubborn.outcome, waiting.outcome) == (
        Outcome.INTERRUPTED,
        Outcome.INTERRUPTED,
        Outcome.RETURNED,
    )
    assert waiting.cancelled() and not running.cancelled()
    assert report.to_dict()["ok"] is False


async def test_two_drains_the_shorter_holds(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=0.0), Cue()
    await pool.submit(cue)
    long, short = asyncio.create_task(pool.drain(LONG)), asyncio.create_task(pool.drain(0.02))
    assert await long is await short
    assert pool.stats().interrupted == 1


async def test_draining_before_anything_was_submitted(make_pool: Make) -> None:
    assert (await make_pool().drain(0)).ok
    assert (await make_pool().drain()).ok
    async with make_pool():
        pass
    never_opened = make_pool()
    never_opened.request_drain()
    assert never_opened.state is PoolState.CLOSED


async def test_a_job_between_attempts_is_interrupted(make_pool: Make) -> None:
    pool = make_pool(1)
    future = await pool.submit(task(fail, retry=Retry(2, backoff=600, max_backoff=600)))
    await until(lambda: pool.stats().retrying == 1)
    report = await pool.drain(0)
    assert [job.id for job in report.interrupted] == [future.job_id] and future.outcome is Outcome.INTERRUPTED
    with pytest.raises(JobCancelled):
        await future


async def test_from_a_job(make_pool: Make) -> None:
    pool, refused = make_pool(2), []

    async def drains() -> None:
        for wait in (pool.drain, pool.shutdown):
            with pytest.raises(RuntimeError, match=r"Call (request_drain|shutdown\(.*wait=False\))"):
                await wait()
            refused.append(1)
        pool.request_drain(LONG)

    await pool.run(drains)
    assert (await pool.drain()).ok and len(refused) == 2


async def test_from_a_callback_and_another_thread(make_pool: Make) -> None:
    pool = make_pool()
    future = await pool.submit(same)
    future.add_done_callback(lambda _: pool.request_drain())
    await until(lambda: pool.state is PoolState.CLOSED)
    pool = make_pool()
    cue = Cue()
    await pool.submit(cue)
    await asyncio.to_thread(pool.request_drain, 0)
    assert not (await pool.drain()).ok


async def test_shutdown(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    running, waiting = await pool.submit(cue), await pool.submit(same)
    await cue.wait_started()
    await pool.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled() and waiting.outcome is Outcome.RETURNED and not running.done()
    cue.go()
    await pool.shutdown()
    assert await running == "done"
    await pool.shutdown()


async def test_the_block_waits_for_its_jobs(pool: AsyncPool) -> None:
    async with pool as same_pool:
        assert same_pool is pool
        futures = [await pool.submit(asyncio.sleep, 0.01, number) for number in range(5)]
    assert [future.result() for future in futures] == list(range(5))


async def test_an_error_leaves_the_block_after_its_jobs(pool: AsyncPool) -> None:
    with pytest.raises(OSError):
        async with pool:
            future = await pool.submit(asyncio.sleep, 0.01, "slept")
            raise OSError
    assert future.result() == "slept"


async def test_a_pool_nobody_refers_to_ends_its_work_and_itself() -> None:
    cue = Cue()
    pool = AsyncPool(1)
    workers = pool._workers
    futures = [await pool.submit(cue, number) for number in range(3)]
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    cue.go()
    assert await asyncio.gather(*futures) == [0, 1, 2]
    del futures
    await workers.supervision.closed.wait()
    assert workers.core.state is PoolState.CLOSED


async def test_nothing_is_kept_of_a_job(make_pool: Make) -> None:
    class Big:
        pass

    async def keeps(big: Big) -> Big:
        return big

    async def raises(big: Big) -> None:
        raise ValueError(big)

    pool = make_pool(1)
    for fn in (keeps, raises, task(keeps, timeout=LONG)):
        big = Big()
        gone = weakref.ref(big)
        future = await pool.submit(fn, big)
        del big
        await asyncio.wait({future})
        future._look()
        del future
        await turns()
        gc.collect()
        assert gone() is None


async def test_a_context_that_lives_on_does_not_keep_the_job(make_pool: Make) -> None:
    class Big:
        pass

    pool, cue, tasks = make_pool(1), Cue(), []

    async def leaves_a_task_behind() -> Big:
        tasks.append(asyncio.create_task(cue()))
        return Big()

    gone = weakref.ref(await pool.run(leaves_a_task_behind))
    await turns()
    gc.collect()
    assert gone() is None
    cue.go()
    await tasks[0]


async def test_idle_pools_have_no_timers(make_pool: Make) -> None:
    pool = make_pool(timeout=0.01, total_timeout=0.01)
    with pytest.raises(TimeoutError):
        await pool.run(hang)
    await until(lambda: pool._workers.supervision.alarm._timer is None)
    assert await pool.run(same, 1) == 1
