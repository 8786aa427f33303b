"""Asyncio tasks that wait for results: no thread for each, and one look for all of them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steadypool import JobCancelled, Queue, UnknownJob
from steadypool.durable.client.ends import Ends
from steadypool.durable.engine.errors import JobDiscarded
from steadypool.model.errors import SteadypoolError
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage


def is_left(ends: Ends) -> bool:
    """Whether nothing of those that have waited is there any more."""
    for thread in threading.enumerate():
        if thread.name == "steadypool-ends":
            thread.join(WAIT)
    return not ends._sleepers and not ends._waiters and ends._listener is None


def threads() -> int:
    """Those that `threading` has started. What the collector frees of other tests is reported on others."""
    return sum(type(thread) is not threading._DummyThread for thread in threading.enumerate())  # type: ignore[attr-defined]


@pytest.mark.every_engine
def test_a_thousand_tasks_get_their_results(queue: Queue) -> None:
    handles = app.queue.enqueue_many(app.add, [(number, 1) for number in range(1000)])

    async def wait_for_all() -> list[int]:
        waiting = asyncio.gather(*[handle.result_async(WAIT) for handle in handles])
        before = threads()
        with Working(queue):
            results = await waiting
        assert threads() <= before + 2
        return results

    assert asyncio.run(wait_for_all()) == list(range(1, 1001))
    assert is_left(queue.ends)


@pytest.mark.every_engine
def test_how_a_wait_ends(queue: Queue) -> None:
    async def wait() -> None:
        handle = await app.add.enqueue_async(1)
        same = await queue.get_async(handle.id)
        assert same.id == handle.id and not same.enqueued
        for seconds in (0, 0.05):
            with pytest.raises(TimeoutError, match=r"has not ended within .*; no worker is there"):
                await handle.result_async(seconds)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle.result_async(), 0.05)
        waiting = asyncio.ensure_future(same.result_async())
        handle.cancel()
        with pytest.raises(JobCancelled):
            await waiting
        with pytest.raises(UnknownJob):
            await queue.get_async("job-99-0000000000")
        failing = await app.fail.enqueue_async()
        with Working(queue), pytest.raises(JobDiscarded, match="attempt"):
            await failing.result_async(WAIT)

    asyncio.run(wait())
    assert is_left(queue.ends)


@pytest.mark.every_engine
def test_threads_and_tasks_wait_together(queue: Queue, stage: Stage) -> None:
    first, second = app.act.enqueue(stage.address), app.act.enqueue(stage.address)

    async def wait() -> list[object]:
        with ThreadPoolExecutor(2) as threads:
            impatient = threads.submit(first.result, 0.3)  # leads at first
            task = asyncio.ensure_future(first.result_async(WAIT))
            patient = threads.submit(second.result, WAIT)
            with pytest.raises(TimeoutError):
                await asyncio.wrap_future(impatient)
            with Working(queue):
                for _ in range(2):
                    stage.enter().tell("return")
                return [await task, await asyncio.wrap_future(patient)]

    assert asyncio.run(wait()) == ["actor", "actor"]
    assert is_left(queue.ends)


def test_tasks_that_come_and_go_many_times(queue: Queue) -> None:
    """Each may be the last that leaves, or the first that comes while the thread of the last ends."""
    handle = app.add.options(delay=3600).enqueue(1)

    async def come_and_go() -> None:
        for number in range(60):
            with pytest.raises(TimeoutError):
                await handle.result_async(0.002 * (number % 3))

    def run() -> None:
        asyncio.run(come_and_go())

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(run) for _ in range(4)]:
            done.result(WAIT)
    ended = app.add.enqueue(1)
    with Working(queue):
        assert asyncio.run(ended.result_async(WAIT)) == 1
    assert is_left(queue.ends)


def test_a_loop_that_was_closed_under_its_tasks_is_no_trouble_to_others(queue: Queue) -> None:
    first, second = app.add.enqueue(1), app.add.enqueue(2)
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(first.result_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    with Working(queue):
        assert asyncio.run(second.result_async(WAIT)) == 2
        assert first.result(WAIT) == 1
    abandoned.get_coro().close()
    assert is_left(queue.ends)


@pytest.mark.every_engine
def test_tasks_learn_that_the_store_is_gone(queue: Queue, url: str, engine_kind: EngineKind) -> None:
    handle = app.add.enqueue(1)
    queue.writer.close()

    async def wait() -> None:
        waiting = [asyncio.ensure_future(handle.result_async()) for _ in range(3)]
        await asyncio.sleep(0.05)
        queue.engine.close()
        engine_kind.destroy(url)
        for one in waiting:
            with pytest.raises(SteadypoolError):
                await asyncio.wait_for(one, WAIT)

    asyncio.run(wait())


def test_a_program_may_end_while_tasks_wait(queue: Queue) -> None:
    """By an error, say: asyncio cancels them, and nothing is left that keeps the process."""
    handle = app.add.enqueue(1)

    async def fail() -> None:
        waiting = asyncio.ensure_future(handle.result_async())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert is_left(queue.ends)
