"""The pool and asyncio: awaiting, `run`, executors of loops, and never blocking a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

import pytest

from steadypool import JobCancelled, JobTimeout, Outcome, PoolClosed, QueueFull, task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.test_queue import fill

pytestmark = pytest.mark.differs_on("asyncio", "the pool is asyncio's own: see tests/pools/aio/test_submit.py")


def in_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run *main* with a time limit."""
    return asyncio.run(asyncio.wait_for(main, WAIT))


async def let_others_run() -> None:
    """Give every other task that is ready its turn."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_future_can_be_awaited(pool: Any, stage: Stage) -> None:
    async def main() -> None:
        future, actor = stage.start(pool)
        asyncio.get_running_loop().call_soon(actor.tell, "return")
        assert await future == "actor"
        assert await future == "actor"
        with pytest.raises(ValueError):
            await pool.submit(jobs.fail)

    in_loop(main())


def test_a_future_can_be_awaited_by_many_and_on_several_loops(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)

    async def first() -> None:
        async def awaits() -> Any:
            return await future

        tasks = [asyncio.create_task(awaits()) for _ in range(3)]
        await let_others_run()
        tasks[0].cancel()
        await let_others_run()
        actor.tell("return")
        assert await asyncio.gather(*tasks[1:]) == ["actor"] * 2

    async def second() -> Any:
        return await future

    in_loop(first())
    assert in_loop(second()) == "actor"


def test_giving_up_an_await_leaves_the_job_alone(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)

    async def main() -> None:
        async def awaits() -> Any:
            return await future

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaits(), 0.01)

    in_loop(main())
    assert actor.ask("cause") is None
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_a_loop_that_is_gone_disturbs_nobody(pool: Any, stage: Stage) -> None:
    future, actor = stage.start(pool)
    loop = asyncio.new_event_loop()

    async def awaits() -> Any:
        return await future

    waiting = loop.create_task(awaits())
    loop.run_until_complete(asyncio.sleep(0))
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.close()
    actor.tell("return")
    assert future.result(WAIT) == "actor"


def test_awaiting_a_cancelled_job_says_job_cancelled(pool: Any, stage: Stage) -> None:
    async def main() -> None:
        stage.occupy(pool, 2)
        future = pool.submit(jobs.nothing)
        future.cancel()
        with pytest.raises(JobCancelled):
            await future

    in_loop(main())


def test_wrap_future(pool: Any, stage: Stage) -> None:
    async def main() -> None:
        assert await asyncio.wrap_future(pool.submit(jobs.same, 3)) == 3
        with pytest.raises(ValueError):
            await asyncio.wrap_future(pool.submit(jobs.fail))
        stage.occupy(pool, 2)
        queued = pool.submit(jobs.nothing)
        wrapped = asyncio.wrap_future(queued)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        await let_others_run()
        assert queued.cancelled()

    in_loop(main())


def test_run_in_executor(pool: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(pool, jobs.add, 1, 2) == 3
        assert await loop.run_in_executor(pool, partial(jobs.decorated, 4)) == 8
        with pytest.raises(JobTimeout):
            await loop.run_in_executor(pool, task(jobs.sleep, timeout=0.05), 0.5)

    in_loop(main())


def test_run_returns_the_result_or_raises(pool: Any) -> None:
    async def main() -> None:
        assert await pool.run(jobs.everything, 1, fn=2) == ((1,), {"fn": 2})
        with pytest.raises(ValueError):
            await pool.run(jobs.fail)
        with pytest.raises(TypeError):
            await pool.run(3)
        assert await pool.run(jobs.decorated.options(id="a"), 2) == 4

    in_loop(main())


def test_run_waits_for_room_without_blocking_the_loop(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)

    async def main() -> None:
        [(_, actor)], _ = fill(pool, stage, 1)
        waiting = [asyncio.create_task(pool.run(jobs.same, number)) for number in range(10)]
        await let_others_run()  # the loop goes on
        assert pool.stats().accepted == 2
        actor.tell("return")
        assert await asyncio.gather(*waiting) == list(range(10))

    in_loop(main())


def test_many_runs_on_a_short_queue(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, queue_size=2)

    async def main() -> None:
        assert await asyncio.gather(*(pool.run(jobs.same, n) for n in range(500))) == list(range(500))

    in_loop(main())


def test_a_cancelled_run_cancels_its_running_job(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=10)

    async def main() -> None:
        running = asyncio.create_task(pool.run(jobs.act, stage.address))
        await asyncio.sleep(0)
        actor = await asyncio.to_thread(stage.enter)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert actor.ask("told")[1] == "cancelled"
        actor.tell("obey")

    in_loop(main())
    assert pool.drain(10).stats.cancelled == 1


def test_a_cancelled_run_takes_its_job_out_of_the_queue(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=2)

    async def main() -> None:
        stage.occupy(pool, 1)
        queued = asyncio.create_task(pool.run(jobs.nothing))
        await let_others_run()
        assert pool.stats().waiting == 1
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued

    in_loop(main())
    assert (pool.stats().waiting, pool.stats().cancelled) == (0, 1)


def test_a_run_cancelled_while_it_waits_for_room_leaves_nothing(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)

    async def main() -> None:
        [(_, actor)], _ = fill(pool, stage, 1)
        waiting = [asyncio.create_task(pool.run(jobs.same, number)) for number in range(4)]
        await let_others_run()
        waiting[0].cancel()
        waiting[2].cancel()
        await let_others_run()
        actor.tell("return")
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [ended[1], ended[3]] == [1, 3]
        assert all(isinstance(ended[n], asyncio.CancelledError) for n in (0, 2))

    in_loop(main())
    assert pool.stats().accepted == 4
    assert pool.try_submit(jobs.same, 1).result(WAIT) == 1


def test_a_run_that_waits_for_room_is_woken_when_the_pool_closes(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)

    async def main() -> None:
        fill(pool, stage, 1)
        waiting = asyncio.create_task(pool.run(jobs.nothing))
        await let_others_run()
        pool.request_drain(30)
        with pytest.raises(PoolClosed):
            await waiting

    in_loop(main())


def test_run_on_a_full_pool_that_rejects(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="reject")

    async def main() -> None:
        fill(pool, stage, 1)
        with pytest.raises(QueueFull):
            await pool.run(jobs.nothing)

    in_loop(main())


def test_run_on_a_full_pool_that_discards(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="discard_oldest")

    async def main() -> None:
        [(_, actor)], [oldest] = fill(pool, stage, 1)
        running = asyncio.create_task(pool.run(jobs.same, 7))
        await let_others_run()
        assert oldest.cancelled()
        actor.tell("return")
        assert await running == 7

    in_loop(main())


def test_run_never_runs_the_job_on_the_loop(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="caller_runs")

    async def main() -> None:
        [(_, actor)], _ = fill(pool, stage, 1)
        running = asyncio.create_task(pool.run(jobs.who))
        await let_others_run()
        actor.tell("return")
        assert await running != jobs.who()

    in_loop(main())


def test_run_on_a_closed_pool(pool: Any) -> None:
    pool.drain(1)

    async def main() -> None:
        with pytest.raises(PoolClosed):
            await pool.run(jobs.nothing)

    in_loop(main())


def test_a_full_queue_does_not_block_a_loop(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)

    async def main() -> None:
        fill(pool, stage, 1)
        with pytest.raises(QueueFull, match=r"await pool\.run\("):
            pool.submit(jobs.nothing)
        with pytest.raises(QueueFull, match=r"await pool\.run\("):
            pool.submit_within(60, jobs.nothing)

    in_loop(main())
    assert pool.stats().rejected == 2


def test_a_job_cancelled_by_a_drain_is_awaited_to_job_cancelled(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)

    async def main() -> None:
        stage.occupy(pool, 1)
        running = asyncio.create_task(pool.run(jobs.nothing))
        await let_others_run()
        pool.request_drain(0)
        with pytest.raises(JobCancelled) as caught:
            await running
        assert caught.value.cause == "shutdown"
        assert isinstance(caught.value, CancelledError)
        assert not isinstance(caught.value, asyncio.CancelledError)

    in_loop(main())
    assert pool.drain(10).stats.returned == 1


def test_awaited_futures_race_with_their_ends(pool: Any) -> None:
    async def main() -> None:
        for _ in range(200):
            future = pool.submit(jobs.same, 1)
            assert await future == 1
            assert future.outcome is Outcome.SUCCEEDED

    in_loop(main())
