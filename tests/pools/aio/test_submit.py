"""Submitting, awaiting, and what a full pool does."""

from __future__ import annotations

import asyncio
import unittest.mock
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from steadypool import (
    AsyncJobFuture,
    AsyncPool,
    JobCancelled,
    JobExit,
    Outcome,
    PoolClosed,
    PoolState,
    QueueFull,
    RemoteError,
    Retry,
    task,
)
from tests.pools.aio.cues import Cue, fail, later, same, turns

Make = Callable[..., AsyncPool]


async def test_the_result(pool: AsyncPool) -> None:
    future = await pool.submit(same, 7)
    assert isinstance(future, AsyncJobFuture) and isinstance(future, asyncio.Future)
    assert await future == 7
    assert await future == 7
    assert future.result() == 7 and future.exception() is None
    assert (future.outcome, future.attempts, future.job_id) == (Outcome.SUCCEEDED, 1, f"{pool.name}-1")
    assert await pool.run(later, value="x") == "x"


async def test_the_error(pool: AsyncPool) -> None:
    future = await pool.submit(fail, "no")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await future
    assert future.outcome is Outcome.FAILED and not future.cancelled()
    with pytest.raises(ValueError, match="again"):
        await pool.run(fail, "again")
    [group] = pool.errors()
    assert (group.count, group.type_name) == (2, "ValueError") and "cues.py" in group.where


async def test_no_more_than_max_workers_run(make_pool: Make) -> None:
    pool, cue = make_pool(3), Cue()
    futures = [await pool.submit(cue, number) for number in range(10)]
    await cue.wait_started(3)
    await turns()
    assert cue.started == 3
    stats = pool.stats()
    assert (stats.accepted, stats.running, stats.waiting, stats.workers) == (10, 3, 7, 3) and stats.balanced
    assert [row.job_id for row in stats.worker_rows] == [f.job_id for f in futures[:3]]
    assert [future.running() for future in futures] == [True] * 3 + [False] * 7
    cue.go()
    assert await asyncio.gather(*futures) == list(range(10))


async def test_submit_waits_for_room_first_come_first_served(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1), Cue()
    await pool.submit(cue)
    await pool.submit(cue)
    order: list[int] = []

    async def submit(number: int) -> None:
        await pool.submit(same, number)
        order.append(number)

    waiting = [asyncio.create_task(submit(number)) for number in range(5)]
    await turns()
    assert order == [] and pool.stats().waiting == 1
    cue.go()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_giving_up_the_wait_for_room_submits_nothing(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1), Cue()
    await pool.submit(cue)
    await pool.submit(cue)
    waiting = [asyncio.create_task(pool.submit(same, number)) for number in range(3)]
    await turns()
    waiting[1].cancel()
    await turns()
    assert waiting[1].cancelled()
    cue.go()
    assert await (await waiting[0]) == 0 and await (await waiting[2]) == 2
    assert pool.stats().accepted == 4


async def test_giving_up_when_room_was_just_given_passes_it_on(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1), Cue()
    await pool.submit(cue)
    second = await pool.submit(cue)
    waiting = [asyncio.create_task(pool.submit(same, number)) for number in range(2)]
    await turns()
    assert second.cancel()  # its room goes to the first who waits, who is cancelled in the same round
    waiting[0].cancel()
    await turns()
    assert waiting[0].cancelled() and waiting[1].done()
    cue.go()
    assert await (await waiting[1]) == 1


async def test_reject(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1, on_full="reject"), Cue()
    await pool.submit(cue)
    await pool.submit(cue)
    for refused in (pool.submit, pool.try_submit, pool.run):
        with pytest.raises(QueueFull, match="full"):
            await refused(same)
    assert pool.stats().rejected == 3
    cue.go()


async def test_try_submit_and_submit_within(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1), Cue()
    await pool.submit(cue)
    await pool.try_submit(cue)
    with pytest.raises(QueueFull):
        await pool.try_submit(same)
    with pytest.raises(QueueFull, match=r"within 0\.01 s"):
        await pool.submit_within(0.01, same)
    with pytest.raises(QueueFull):
        await pool.submit_within(0, same)
    with pytest.raises(TypeError, match="use submit"):
        await pool.submit_within(None, same)  # type: ignore[arg-type]
    waiting = asyncio.create_task(pool.submit_within(10, same, "got in"))
    await turns()
    cue.go()
    assert await (await waiting) == "got in"


async def test_discard_oldest(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=2, on_full="discard_oldest"), Cue()
    await pool.submit(cue)
    first, second = [await pool.submit(same, number) for number in range(2)]
    third = await pool.submit(same, 2)
    assert first.cancelled() and first.outcome is Outcome.CANCELLED
    with pytest.raises(JobCancelled):
        await first
    cue.go()
    assert [await second, await third] == [1, 2]


async def test_caller_runs(make_pool: Make) -> None:
    pool, cue, own = make_pool(1, queue_size=1, on_full="caller_runs"), Cue(), Cue()
    await pool.submit(cue)
    await pool.submit(cue)
    submitting = asyncio.create_task(pool.submit(task(own, timeout=60), "own"))
    await own.wait_started()
    await turns()
    assert not submitting.done() and pool.stats().running == 2
    own.go()
    future = await submitting
    assert future.done() and await future == "own"
    # The submitter's cancellation is passed on to the job that it waits for.
    other = Cue()
    submitting = asyncio.create_task(pool.submit(other))
    await other.wait_started()
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    await other.wait_ended()
    assert other.cancelled == 1 and submitting.cancelling() == 1
    failed = await pool.submit(fail)
    with pytest.raises(ValueError):
        await failed
    cue.go()


async def test_priorities(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    await pool.submit(cue)
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    for number, priority in enumerate([0, 5, -1, 5, 0]):
        await pool.submit(task(note, priority=priority), number)
    cue.go()
    await pool.drain()
    assert order == [1, 3, 0, 4, 2]


async def test_a_closed_pool_refuses(pool: AsyncPool) -> None:
    async with pool:
        assert pool.state is PoolState.OPEN
    assert pool.state is PoolState.CLOSED
    for refused in (pool.submit, pool.try_submit, pool.run, partial(pool.submit_within, 1)):
        with pytest.raises(PoolClosed, match="after shutdown"):
            await refused(same)
    with pytest.raises(PoolClosed):
        pool.map(same, [1])
    with pytest.raises(PoolClosed):
        pool.submit_threadsafe(same)
    with pytest.raises(PoolClosed):
        pool.resize(3)


async def test_who_waits_for_room_is_told_when_the_pool_closes(make_pool: Make) -> None:
    pool, cue = make_pool(1, queue_size=1), Cue()
    await pool.submit(cue)
    await pool.submit(cue)
    waiting = [asyncio.create_task(pool.submit(same)), asyncio.create_task(pool.submit_within(60, same))]
    await turns()
    pool.request_drain()
    for submitting in waiting:
        with pytest.raises(PoolClosed):
            await submitting
    cue.go()


async def test_system_exit_is_the_jobs_failure(pool: AsyncPool) -> None:
    async def leave(error: BaseException, wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise error

    for wait in (False, True):
        for error, code in [(SystemExit(3), 3), (KeyboardInterrupt(), 130)]:
            future = await pool.submit(leave, error, wait)
            with pytest.raises(JobExit) as caught:
                await future
            assert caught.value.code == code and future.outcome is Outcome.FAILED


async def test_odd_errors_are_the_jobs_failure(pool: AsyncPool) -> None:
    class Odd(BaseException):
        pass

    async def odd(error: type[BaseException]) -> None:
        raise error("odd")

    for error, given in ((Odd, Odd), (GeneratorExit, RemoteError), (asyncio.CancelledError, JobCancelled)):
        future = await pool.submit(odd, error)
        with pytest.raises(given):
            await future
    with pytest.raises(RuntimeError):
        await pool.run(odd, StopIteration)


async def test_retries(pool: AsyncPool) -> None:
    calls = ContextVar("calls", default=0)
    seen: list[int] = []

    async def flaky() -> int:
        seen.append(calls.get())
        calls.set(calls.get() + 1)
        await asyncio.sleep(0)
        if len(seen) < 3:
            raise OSError(f"call {len(seen)}")
        return len(seen)

    retried = task(flaky, retry=Retry(attempts=5, on=OSError, backoff=0.001, jitter=False))
    future = await pool.submit(retried)
    assert await future == 3 and future.attempts == 3
    assert seen == [0, 0, 0]  # each attempt sees the submitter's context
    stats = pool.stats()
    assert (stats.accepted, stats.retries, stats.succeeded, stats.failed) == (1, 2, 1, 0)
    with pytest.raises(ValueError):
        await pool.run(task(fail, retry=Retry(attempts=5, on=OSError)))


async def test_resize(make_pool: Make) -> None:
    pool, cue = make_pool(1), Cue()
    futures = [await pool.submit(cue) for _ in range(6)]
    await cue.wait_started(1)
    pool.resize(4)
    await cue.wait_started(4)
    pool.resize(2)
    assert (pool.stats().running, pool.stats().max_workers, pool.stats().capacity) == (4, 2, 2)
    futures[0].cancel(running=True)
    await cue.wait_cancelled()
    await turns()
    assert cue.started == 4
    cue.go()
    assert await asyncio.gather(*futures[1:]) == ["done"] * 5


async def test_a_pool_belongs_to_one_loop(pool: AsyncPool) -> None:
    future = await pool.submit(same, 1)

    async def elsewhere() -> None:
        for call in (pool.submit(same), pool.drain(), pool.run(same)):
            with pytest.raises(RuntimeError, match="submit_threadsafe"):
                await call
        with pytest.raises(RuntimeError, match="submit_threadsafe"):
            async with pool:
                pass

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    with pytest.raises(RuntimeError, match="submit_threadsafe"):
        await asyncio.to_thread(lambda: pool.submit(same).send(None))
    assert await future == 1


async def test_a_future_that_is_not_done_is_awaited_on_its_loop(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="submit_threadsafe"):
            await future

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    cue.go()
    assert await future == "done"


async def test_only_the_pool_settles(pool: AsyncPool) -> None:
    cue = Cue()
    future = await pool.submit(cue)
    for settle in (lambda: future.set_result(1), lambda: future.set_exception(OSError())):
        with pytest.raises(asyncio.InvalidStateError):
            settle()
    with pytest.raises(asyncio.InvalidStateError):
        future.result()
    cue.go()
    assert await future == "done"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": None}, TypeError, "max_workers"),
        ({"queue_size": 0}, ValueError, "queue_size"),
        ({"on_full": "blok"}, ValueError, 'did you mean "block"'),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"retry": 3}, TypeError, "Retry"),
        ({"cancel_grace": None}, TypeError, "cancel_grace"),
        ({"name": 3}, TypeError, "name"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        AsyncPool(**options)


async def test_bad_functions(pool: AsyncPool) -> None:
    def plain(x: int) -> int:
        return x

    async def generator() -> Any:
        yield 1

    for wrong in (plain, task(plain), partial(plain, 1), lambda: None):
        with pytest.raises(TypeError, match=r"ThreadPool\.run"):
            await pool.submit(wrong)  # type: ignore[arg-type,type-var]
    with pytest.raises(TypeError, match="async generator"):
        await pool.submit(generator)
    with pytest.raises(TypeError, match=r"submit\(same, x\), not submit\(same\(x\)\)"):
        await pool.submit(same(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="42"):
        await pool.submit(42)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="await"):
        await pool.run(int, "7")  # type: ignore[arg-type]
    assert pool.stats().accepted == 1


async def test_what_counts_as_a_coroutine_function(pool: AsyncPool) -> None:
    class Calls:
        async def method(self, value: int) -> int:
            return value

        async def __call__(self, value: int) -> int:
            return value

        @task(timeout=5)
        async def tasked(self, value: int) -> int:
            return value

    import functools

    @functools.wraps(same)
    def wrapped(value: int) -> Any:
        return same(value)

    calls = Calls()
    for fn in (calls, calls.method, calls.tasked, partial(same), task(same), partial(task(same, timeout=3)), wrapped):
        assert await pool.run(fn, 3) == 3


async def test_what_is_marked_as_a_coroutine_function_is_taken(pool: AsyncPool) -> None:
    assert await pool.run(unittest.mock.AsyncMock(return_value=3), 1) == 3
    assert await pool.run(partial(unittest.mock.AsyncMock(return_value=4), 1)) == 4


@pytest.mark.parametrize("error", [GeneratorExit(), BaseExceptionGroup("one", [KeyboardInterrupt()])])
async def test_what_would_mean_something_to_the_awaiter_is_stood_in_for(pool: AsyncPool, error: BaseException) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(RemoteError, match=f"raised {type(error).__name__}"):
        await pool.run(fail)
    with pytest.raises(RemoteError):
        [_ async for _ in pool.map(lambda_of(fail), [1])]
    assert pool.stats().failed == 2


def lambda_of(fn: Any) -> Any:
    async def call(_: object) -> None:
        await fn()

    return call
