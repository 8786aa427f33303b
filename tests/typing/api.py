"""Types as users see them. No test imports this file: mypy and pyright read it, `test_checkers.py` has them do so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor, as_completed, wait
from datetime import timedelta
from typing import assert_type

from steadypool import (
    AsyncJobFuture,
    AsyncPool,
    Call,
    Every,
    JobFuture,
    JobHandle,
    ProcessPool,
    Queue,
    Retry,
    Task,
    ThreadPool,
    current_job,
    task,
)
from steadypool.testing import Interrupted, Jobs

queue = Queue("sqlite:///jobs.db")


def plain(text: str, times: int = 1) -> int:
    return len(text) * times


@task
def bare(text: str) -> int:
    return len(text)


@task(timeout=5, retry=Retry(3))
def limited(text: str, *, strict: bool = False) -> bytes:
    return text.encode(errors="strict" if strict else "replace")


async def fetch(url: str) -> bytes:
    return url.encode()


@task(timeout=5)
async def fetch_limited(url: str) -> bytes:
    return url.encode()


@queue.task
def send(to: str, copies: int = 1) -> int:
    return len(to) * copies


@queue.task(timeout=60, queue="pages")
async def load(url: str) -> bytes:
    return url.encode()


def tasks() -> None:
    assert_type(bare("a"), int)
    assert_type(limited("a", strict=True), bytes)
    assert_type(bare.options(timeout=5)("a"), int)
    assert_type(task(plain, timeout=5)("a", times=2), int)
    some: Task[[str], int] = bare
    assert_type(some("a"), int)


def pools() -> None:
    with ThreadPool(2) as threads, ProcessPool(2) as processes:
        assert_type(threads.submit(plain, "a", times=2), JobFuture[int])
        assert_type(processes.submit(limited, "a", strict=True), JobFuture[bytes])
        assert_type(threads.try_submit(bare, "a"), JobFuture[int])
        assert_type(threads.submit_within(1.0, bare, "a").result(), int)
        assert_type(threads.map(plain, ["a"], [1]), Generator[int, None, None])
        assert_type(processes.map_unordered(bare, ["a"]), Generator[int, None, None])
        assert_type(threads.map(bare, ["a"], return_exceptions=True), Generator[int | Exception, None, None])
        wait([threads.submit(bare, "a")], timeout=1)
        for future in as_completed([threads.submit(bare, "a")]):
            assert_type(future.result(), int)
        executor: Executor = threads
        assert_type(executor.submit(bare, "a").result(), int)
        with threads.group() as group:
            assert_type(group.submit(limited, "a"), JobFuture[bytes])


async def coroutines() -> None:
    threads = ThreadPool(2)
    assert_type(await threads.run(bare, "a"), int)
    async with AsyncPool(2) as pool:
        future = await pool.submit(fetch, "a")
        assert_type(future, AsyncJobFuture[bytes])
        assert_type(await future, bytes)
        assert_type(await pool.run(fetch_limited, "a"), bytes)
        assert_type(pool.map(fetch, ["a"]), AsyncGenerator[bytes, None])
        assert_type(pool.map(fetch, ["a"], return_exceptions=True), AsyncGenerator[bytes | Exception, None])
        async with pool.group() as group:
            assert_type(await group.submit(fetch, "a"), AsyncJobFuture[bytes])


def queues() -> None:
    assert_type(send("a", copies=2), int)
    assert_type(send.enqueue("a", copies=2), JobHandle[int])
    assert_type(send.enqueue("a").result(timeout=5), int)
    assert_type(send.options(delay=5, unique="a").enqueue("a"), JobHandle[int])
    assert_type(send.enqueue("a", connection=object()), JobHandle[int])
    assert_type(send.options(delay=timedelta(minutes=1), id="a", retry=Retry(3)).enqueue("a"), JobHandle[int])
    assert_type(queue.task(aliases=["old"], schedule=[Every(days=1, args={"text": "a"})])(plain)("a"), int)
    assert_type(send.call("a"), Call[int])
    assert_type(queue.put(send.call("a")), JobHandle[int])
    assert_type(queue.enqueue_many(send, [("a",), {"to": "b"}]), list[JobHandle[int]])
    assert_type(queue.task(checkpoint=int | None)(plain).enqueue("a").result(), int)


def kit(jobs: Jobs) -> None:
    current_job().save(1, flush=True)
    assert_type(jobs.perform(send, "a", checkpoint=3), int)
    assert_type(jobs.interrupt(send, "a", after_saves=2), Interrupted[int])
    assert_type(jobs.interrupt(send, "a").interrupt().resume(), int)


async def queues_of_coroutines() -> None:
    assert_type(await load("a"), bytes)
    assert_type(load.enqueue("a"), JobHandle[bytes])
    assert_type(load.options(delay=5).enqueue("a").result(), bytes)
    assert_type(load.enqueue("a", connection=object()), JobHandle[bytes])
    assert_type(await load.enqueue_async("a", connection=object()), JobHandle[bytes])
    assert_type(await load.enqueue_async("a"), JobHandle[bytes])
    assert_type(await (await send.enqueue_async("a")).result_async(), int)
    assert_type(load.call("a"), Call[bytes])
    assert_type(queue.put(load.call("a")), JobHandle[bytes])
    assert_type(queue.enqueue_many(load, [("a",)]), list[JobHandle[bytes]])
