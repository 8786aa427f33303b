"""Mistakes that mypy and pyright have to find: an ignore that is not needed is an error."""

from __future__ import annotations

from steadypool import AsyncPool, ProcessPool, Queue, Retry, ThreadPool, task

queue = Queue("sqlite:///jobs.db")


@task
def bare(text: str) -> int:
    return len(text)


@queue.task
def send(to: str, copies: int = 1) -> int:
    return len(to) * copies


@queue.task
async def load(url: str) -> bytes:
    return url.encode()


def calls() -> None:
    bare(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.options(timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.options(timeot=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    task(bare.fn, prio=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Retry("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def pools(pool: ThreadPool) -> None:
    pool.submit(bare, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pool.submit(bare, "a", timeout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    pool.submit(bare("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    ProcessPool(on_full="rejct")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ThreadPool(4, que_size=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def coroutines(pool: AsyncPool) -> None:
    await pool.submit(bare, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await pool.run(load, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def queues() -> None:
    send.enqueue(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    send.enqueue("a", copy=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    load.enqueue(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    send.call(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send.enqueue()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    send.options(delay="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send.options(priority=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queue.task(timeot=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    queue.task(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    queue.task(kind="thred")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    send.options(dealy=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send.delay("a")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    queue.work(kind="thred")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
