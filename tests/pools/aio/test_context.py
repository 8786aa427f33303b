"""What a job finds around it: its context, its task, and asyncio's own tools."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from contextvars import ContextVar, copy_context

import anyio
import pytest

from steadypool import AsyncPool, JobContext, JobTimeout, ThreadPool, current_job, task
from steadypool.model import events
from tests.patience import LONG
from tests.pools.aio.cues import Cue, fail, hang, later, same, turns, until

Make = Callable[..., AsyncPool]
variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_context_variables_are_the_submitters(pool: AsyncPool) -> None:
    async def get_and_set(wait: bool) -> str:
        if wait:
            await asyncio.sleep(0)
        before = variable.get()
        variable.set("the job's")
        return before

    for wait in (False, True):
        variable.set("submitter")
        assert await pool.run(get_and_set, wait) == "submitter"
        assert variable.get() == "submitter"
        future = await copy_context().run(lambda wait=wait: _submit_with(pool, get_and_set, wait))
        variable.set("later")
        assert await future == "submitter"


async def _submit_with(pool: AsyncPool, fn: Callable[..., object], wait: bool) -> object:
    return await pool.submit(fn, wait)  # type: ignore[arg-type]


async def test_current_job(pool: AsyncPool) -> None:
    async def facts() -> JobContext:
        job = current_job()
        assert job is current_job() and job and not job.cancelled and job.cause is None
        remaining = job.remaining()
        assert remaining is not None and 0 < remaining <= 5
        assert await job.sleep(0.001)
        await asyncio.gather(*(check_inherited(job) for _ in range(2)))
        job.raise_if_cancelled()
        return job

    async def check_inherited(job: JobContext) -> None:
        assert current_job() is job

    assert not current_job()
    future = await pool.submit(task(facts, id="order-42", name="facts", timeout=5, meta={"tenant": "a"}))
    job = await future
    assert (job.id, job.task, job.attempt, job.meta) == ("order-42", "facts", 1, {"tenant": "a"})
    assert future.job_id == "order-42" and not current_job()


async def test_two_jobs_two_contexts(pool: AsyncPool) -> None:
    async def own_id() -> str:
        before = current_job().id
        await asyncio.sleep(0)
        assert current_job().id == before
        return before

    futures = [await pool.submit(own_id) for _ in range(4)]
    assert [await future for future in futures] == [future.job_id for future in futures]


async def test_what_a_job_leaves_behind_is_in_no_job(pool: AsyncPool) -> None:
    cue, left = Cue(), []

    async def behind() -> bool:
        await cue()
        return bool(current_job())

    async def leaves() -> None:
        left.append(asyncio.create_task(behind()))

    await pool.run(leaves)
    cue.go()
    assert await left[0] is False


async def test_another_pools_job_is_not_this_one(pool: AsyncPool) -> None:
    with ThreadPool(1) as threads:

        async def into_threads() -> tuple[str, str]:
            return current_job().id, await threads.run(lambda: current_job().id)

        own, other = await pool.run(into_threads)
    assert own.startswith("AsyncPool") and other.startswith("ThreadPool")


async def test_the_cause_is_told(make_pool: Make) -> None:
    pool = make_pool(cancel_grace=LONG)

    async def cause() -> str | None:
        try:
            await hang()
        except asyncio.CancelledError:
            pass
        with pytest.raises((TimeoutError, asyncio.CancelledError, Exception)):
            current_job().raise_if_cancelled()
        return current_job().cause

    stopped = await pool.submit(cause)
    await turns()
    stopped.cancel(running=True)
    assert await stopped == "cancelled"
    seen = await pool.submit(cause)
    await turns()
    await pool.drain(0)
    assert await seen == "shutdown"


async def test_each_job_has_a_task_of_its_own(pool: AsyncPool) -> None:
    async def own_task() -> asyncio.Task[object] | None:
        return asyncio.current_task()

    tasks = {await pool.run(own_task) for _ in range(3)}
    assert len(tasks) == 3 and asyncio.current_task() not in tasks


async def test_task_groups_inside_jobs(pool: AsyncPool) -> None:
    async def grouped() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(later(number)) for number in range(3)]
        return [task.result() for task in tasks]

    async def failing() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(hang())

    assert await pool.run(grouped) == [0, 1, 2]
    with pytest.raises(ExceptionGroup):
        await pool.run(failing)
    with pytest.raises(JobTimeout):
        await pool.run(task(hangs_in_a_group, timeout=0.01))


async def hangs_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(hang())


async def test_anyio_inside_jobs(pool: AsyncPool) -> None:
    async def anyio_code() -> list[object]:
        seen: list[object] = []
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        seen.append(scope.cancelled_caught)
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await hang()
        send, receive = anyio.create_memory_object_stream[int](1)
        async with send, receive, anyio.create_task_group() as group:
            group.start_soon(send.send, 7)
            seen.append(await receive.receive())
        return seen

    async def anyio_first_step() -> None:
        with anyio.CancelScope():
            pass

    assert await pool.run(task(anyio_code, timeout=LONG)) == [True, 7]
    await pool.run(anyio_first_step)


async def test_anyio_scopes_around_jobs(make_pool: Make) -> None:
    pool, cue = make_pool(cancel_grace=LONG), Cue()
    with anyio.move_on_after(0.01) as scope:
        await pool.run(cue)
    assert scope.cancelled_caught and await pool.run(same, 1) == 1
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await (await pool.submit(cue))
    async with anyio.create_task_group() as group:
        group.start_soon(pool.run, later)


async def test_the_events_of_a_job(make_pool: Make) -> None:
    pool = make_pool(1)
    seen: list[events.Event] = []
    unsubscribe = pool.subscribe(seen.append)

    async def progresses() -> None:
        current_job().progress(1, 2)
        await asyncio.sleep(0)

    future = await pool.submit(task(progresses, meta={"a": 1}))
    await future
    waiting = await pool.submit(hang)
    behind = await pool.submit(same)
    waiting.cancel(running=True)
    await behind
    of_jobs = [event for event in seen if isinstance(event, events.JobEvent)]
    story = [(type(event).__name__, event.attempt) for event in of_jobs if event.job_id == future.job_id]
    assert story == [("JobSubmitted", 0), ("JobStarted", 1), ("JobProgressed", 1), ("JobSucceeded", 1)]
    names = [type(event).__name__ for event in of_jobs if event.job_id == waiting.job_id]
    assert names[0] == "JobSubmitted" and names[-2:] == ["JobStopRequested", "JobCancelled"]
    unsubscribe()
    count = len(seen)
    await pool.run(same)
    assert len(seen) == count


async def test_a_sink_that_raises_is_muted_and_counted(pool: AsyncPool) -> None:
    def bad(event: events.Event) -> None:
        raise OSError

    pool.subscribe(bad)
    assert await pool.run(same, 1) == 1
    assert pool.stats().sink_errors == 3
    with pytest.raises(TypeError):
        pool.subscribe(3)  # type: ignore[arg-type]


async def test_a_failure_nobody_looked_at_is_reported_once(pool: AsyncPool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "steadypool"):
        await asyncio.wait({await pool.submit(fail, "unseen")})
        looked_at = await pool.submit(fail, "seen")
        await asyncio.wait({looked_at})
        looked_at.exception()
        del looked_at
        gathered = await asyncio.gather(await pool.submit(fail), return_exceptions=True)
        del gathered
        gc.collect()  # an eager task's error refers to the frames that it was started from, and so to its future
        await until(lambda: caplog.records)
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == [
        f"job {pool.name}-1 (tests.pools.aio.cues.fail) failed and its error was never retrieved"
    ]
