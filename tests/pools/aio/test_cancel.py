"""Cancelling. A job's cancellation is not its caller's, nor its pool's, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError

import pytest

from steadypool import AsyncPool, JobCancelled, Outcome, PoolState, Retry, current_job, task
from tests.patience import LONG
from tests.pools.aio.cues import Cue, fail, hang, same, turns, until

Make = Callable[..., AsyncPool]


def unscathed() -> bool:
    """Whether nobody has cancelled, or is cancelling, the task that asks."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


# -- a job's cancellation


async def test_a_waiting_job_is_cancelled_at_once(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    await pool.submit(cue)
    for fn in (same, task(same, priority=5)):
        future = await pool.submit(fn)
        assert future.cancel() and future.cancelled() and future.done()
        assert (future.outcome, future.attempts) == (Outcome.CANCELLED, 0)
        with pytest.raises(JobCancelled, match="before it started") as caught:
            await future
        assert isinstance(caught.value, CancelledError) and not isinstance(caught.value, asyncio.CancelledError)
        assert (caught.value.cause, caught.value.job_id) == ("cancelled", future.job_id)
        with pytest.raises(JobCancelled):
            future.result()
        with pytest.raises(JobCancelled):
            future.exception()
        assert not future.cancel()
    assert unscathed()
    cue.go()


async def test_a_running_job_is_left_alone_unless_running_is_said(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)
    await cue.wait_started()
    assert not future.cancel() and not future.cancelled()
    await turns()
    assert cue.cancelled == 0
    cue.go()
    assert await future == "done"


async def test_a_running_job_is_cancelled_and_its_caller_is_not(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    future = await pool.submit(cue)
    await cue.wait_started()
    asyncio.get_running_loop().call_soon(lambda: future.cancel(running=True))
    with pytest.raises(JobCancelled):
        await future
    assert unscathed() and pool.state is PoolState.OPEN
    assert (cue.cancelled, future.outcome, future.cancelled(), future.attempts) == (1, Outcome.CANCELLED, False, 1)
    assert isinstance(future.exception(), JobCancelled)
    assert await pool.run(same, 1) == 1


async def test_a_job_told_before_its_first_step(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    future = await pool.submit(cue)  # on 3.11 it has not begun now
    assert future.cancel(running=True) and future.cancel(running=True)
    with pytest.raises(JobCancelled):
        await future
    assert future.outcome is Outcome.CANCELLED
    await turns()
    assert pool.stats().running == 0


async def test_what_returns_within_the_grace_still_counts(make_pool: Make) -> None:
    pool, started = make_pool(cancel_grace=LONG), asyncio.Event()

    async def cleans_up() -> str | None:
        started.set()
        try:
            await hang()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return current_job().cause

    future = await pool.submit(cleans_up)
    await started.wait()
    future.cancel(running=True)
    assert await future == "cancelled" and future.outcome is Outcome.SUCCEEDED


async def test_an_error_while_stopping_is_the_cause(make_pool: Make) -> None:
    pool, started = make_pool(cancel_grace=LONG), asyncio.Event()

    async def fails_to_clean_up() -> None:
        started.set()
        try:
            await hang()
        finally:
            raise OSError("cleaning up failed")

    future = await pool.submit(task(fails_to_clean_up, retry=Retry(5, on=BaseException)))
    await started.wait()
    future.cancel(running=True)
    with pytest.raises(JobCancelled) as caught:
        await future
    assert isinstance(caught.value.__cause__, OSError) and future.attempts == 1


async def test_a_job_between_two_attempts_is_cancelled_at_once(make_pool: Make) -> None:
    pool = make_pool(1)
    future = await pool.submit(task(fail, retry=Retry(2, backoff=600, max_backoff=600)))
    await until(lambda: pool.stats().retrying == 1)
    assert future.cancel()
    with pytest.raises(JobCancelled) as caught:
        await future
    assert isinstance(caught.value.__cause__, ValueError)
    assert (future.outcome, future.attempts, future.cancelled()) == (Outcome.CANCELLED, 1, False)


async def test_a_job_that_cancels_itself(pool: AsyncPool) -> None:
    async def by_its_task() -> None:
        own = asyncio.current_task()
        assert own is not None
        own.cancel()
        await asyncio.sleep(0)

    async def by_raising() -> None:
        raise asyncio.CancelledError

    async def by_what_it_awaits() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    for fn in (by_its_task, by_raising, by_what_it_awaits):
        future = await pool.submit(fn)
        with pytest.raises(JobCancelled):
            await future
        assert unscathed() and future.outcome is Outcome.CANCELLED
    assert pool.stats().cancelled == 3 and await pool.run(same, 1) == 1


async def test_a_job_that_cancels_its_own_future(make_pool: Make) -> None:
    pool = make_pool(cancel_grace=LONG)
    futures = []

    async def stops_itself() -> None:
        await asyncio.sleep(0)
        futures[0].cancel(running=True)
        assert current_job().cancelled and current_job().cause == "cancelled"
        await hang()

    futures.append(await pool.submit(stops_itself))
    with pytest.raises(JobCancelled):
        await futures[0]


async def test_told_within_its_first_step(make_pool: Make) -> None:
    pool, by_id = make_pool(cancel_grace=LONG), {}

    async def stops_itself() -> None:
        [job] = pool._workers.running
        job.cancel(running=True)
        by_id["told"] = current_job().cause
        await hang()

    future = await pool.submit(stops_itself)
    with pytest.raises(JobCancelled):
        await future
    assert by_id == {"told": "cancelled"}


# -- the caller's cancellation


@pytest.mark.parametrize("wait", ["run", "await", "gather", "wait_for", "timeout"])
async def test_cancelling_the_caller_cancels_its_job(make_pool: Make, wait: str) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    seen: list[BaseException] = []

    async def call() -> None:
        try:
            if wait == "run":
                await pool.run(cue)
            elif wait == "await":
                await (await pool.submit(cue))
            elif wait == "gather":
                await asyncio.gather(await pool.submit(cue), await pool.submit(cue))
            elif wait == "wait_for":
                await asyncio.wait_for(await pool.submit(cue), LONG)
            else:
                async with asyncio.timeout(LONG):
                    await pool.run(cue)
        except BaseException as error:
            seen.append(error)
            raise

    caller = asyncio.create_task(call())
    await cue.wait_started()
    await turns()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert caller.cancelled() and type(seen[0]) is asyncio.CancelledError
    await cue.wait_cancelled()
    await turns()
    assert pool.state is PoolState.OPEN and unscathed()
    assert pool.stats().cancelled == cue.started and await pool.run(same, 1) == 1


@pytest.mark.parametrize("wait", ["wait_for", "timeout", "gather"])
async def test_a_caller_whose_time_is_up_gets_its_timeout(make_pool: Make, wait: str) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    future = await pool.submit(cue)
    with pytest.raises(TimeoutError) as caught:
        if wait == "wait_for":
            await asyncio.wait_for(future, 0.01)
        elif wait == "timeout":
            async with asyncio.timeout(0.01):
                await future
        else:
            async with asyncio.timeout(0.01):
                await asyncio.gather(future)
    assert type(caught.value) is TimeoutError and unscathed()
    await cue.wait_cancelled()
    with pytest.raises(JobCancelled):
        await future
    assert future.outcome is Outcome.CANCELLED and unscathed()


async def test_a_caller_that_is_cancelled_cancels_its_waiting_job(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    await pool.submit(cue)
    waiting = await pool.submit(same)

    async def call() -> None:
        await waiting

    caller = asyncio.create_task(call())
    await turns()
    caller.cancel()
    await turns()
    assert caller.cancelled() and waiting.cancelled() and waiting.outcome is Outcome.CANCELLED
    cue.go()


async def test_shield_and_wait_leave_the_job_alone(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)

    async def shielded() -> None:
        await asyncio.shield(future)

    caller = asyncio.create_task(shielded())
    await turns()
    caller.cancel()
    await asyncio.wait({caller})
    _, pending = await asyncio.wait({future}, timeout=0.01)
    assert caller.cancelled() and pending == {future} and cue.cancelled == 0
    cue.go()
    assert await future == "done"


async def test_one_of_many_who_await_is_cancelled(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    future = await pool.submit(cue)

    async def call() -> None:
        await future

    callers = [asyncio.create_task(call()) for _ in range(3)]
    await turns()
    callers[1].cancel()
    await asyncio.wait(callers)
    assert callers[1].cancelled()
    assert isinstance(callers[0].exception(), JobCancelled) and isinstance(callers[2].exception(), JobCancelled)


async def test_a_caller_cancelled_when_the_job_has_just_ended(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)

    async def call() -> None:
        await future

    caller = asyncio.create_task(call())
    await cue.wait_started()
    await turns()
    cue.go()
    await until(future.done)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert future.outcome is Outcome.SUCCEEDED


async def test_a_cancelled_caller_in_a_task_group(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()

    async def fails() -> None:
        await cue.wait_started()
        raise OSError("a sibling of the caller failed")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.run(cue))
            group.create_task(fails())
    assert [type(error) for error in caught.value.exceptions] == [OSError]
    await cue.wait_cancelled()


# -- the pool's end


async def test_the_pools_end_is_not_its_callers(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()
    running, waiting = await pool.submit(cue), await pool.submit(same)
    await cue.wait_started()
    calling = [asyncio.create_task(pool.run(same)) for _ in range(2)]
    await turns()
    report = await pool.drain(0)
    assert unscathed()
    for future, outcome in ((running, Outcome.INTERRUPTED), (waiting, Outcome.RETURNED)):
        with pytest.raises(JobCancelled) as caught:
            await future
        assert caught.value.cause == "shutdown" and future.outcome is outcome
    for caller in calling:
        with pytest.raises(JobCancelled):
            await caller
        assert not caller.cancelled() and caller.cancelling() == 0
    assert (len(report.unfinished), len(report.interrupted), report.stuck) == (3, 1, ())


async def test_a_cancelled_job_does_not_cancel_the_pool_or_its_neighbours(make_pool: Make) -> None:
    pool, cue = make_pool(2, cancel_grace=LONG), Cue()
    one, other = await pool.submit(cue, 1), await pool.submit(cue, 2)
    await cue.wait_started(2)
    one.cancel(running=True)
    await cue.wait_cancelled()
    cue.go()
    assert await other == 2 and pool.state is PoolState.OPEN


async def test_cancelling_the_one_who_drains_ends_the_wait_alone(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)
    draining = asyncio.create_task(pool.drain())
    await turns()
    draining.cancel()
    await asyncio.wait({draining})
    assert draining.cancelled() and pool.state is PoolState.DRAINING
    cue.go()
    assert await future == "done"
    assert (await pool.drain()).ok


async def test_leaving_the_block_by_cancellation_is_not_patient(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()

    async def block() -> None:
        async with pool:
            await pool.submit(cue)
            await pool.submit(cue)
            await hang()

    caller = asyncio.create_task(block())
    await cue.wait_started()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pool.state is PoolState.CLOSED and (pool.stats().interrupted, pool.stats().returned) == (1, 1)


async def test_cancelled_while_leaving_the_block(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()

    async def block() -> None:
        async with pool:
            await pool.submit(cue)

    caller = asyncio.create_task(block())
    await cue.wait_started()
    await turns()
    assert pool.state is PoolState.DRAINING
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pool.state is PoolState.CLOSED and pool.stats().interrupted == 1


async def test_a_timeout_around_a_pool(make_pool: Make) -> None:
    pool, cue = make_pool(1, cancel_grace=LONG), Cue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            async with pool:
                await pool.submit(cue)
    assert unscathed() and pool.state is PoolState.CLOSED
