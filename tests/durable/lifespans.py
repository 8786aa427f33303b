"""Queues with a lifespan, as workers import them. What is entered and left is written to a file."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio

from steadypool import Queue, current_job
from tests.pools.contract import jobs


def log(text: str) -> None:
    """Add a line to the file, in one piece."""
    with open(os.environ["LIFESPAN_LOG"], "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def fail_if_told() -> None:
    if os.path.exists(os.environ["LIFESPAN_LOG"] + ".fails"):
        raise OSError("no database here")
    if os.path.exists(os.environ["LIFESPAN_LOG"] + ".kills"):
        os._exit(7)


@contextmanager
def open_all() -> Iterator[dict[str, Any]]:
    fail_if_told()
    log(f"enter {os.getpid()}")
    yield {"pid": os.getpid(), "loop": None}
    log(f"leave {os.getpid()}")


_scope: ContextVar[int] = ContextVar("_scope")


@asynccontextmanager
async def open_all_async() -> AsyncIterator[dict[str, Any]]:
    await asyncio.sleep(0)
    fail_if_told()
    async with anyio.create_task_group() as group:  # refuses to be left by another task
        token = _scope.set(1)
        log(f"enter {os.getpid()}")
        yield {"pid": os.getpid(), "loop": id(asyncio.get_running_loop())}
        await asyncio.sleep(0)
        _scope.reset(token)  # refuses another context
        group.cancel_scope.cancel()
    log(f"leave {os.getpid()}")


def found() -> list[Any]:
    """Where the resources were made, and where the job runs."""
    resources = current_job().resources
    return [resources["pid"], os.getpid(), resources["loop"]]


sync_queue = Queue(lifespan=open_all)
async_queue = Queue(lifespan=open_all_async)
threads_only = Queue(lifespan=open_all)
processes_only = Queue(lifespan=open_all)
loop_only = Queue(lifespan=open_all_async)


@sync_queue.task(kind="thread")
def sync_thread() -> list[Any]:
    return found()


@sync_queue.task(kind="process")
def sync_process() -> list[Any]:
    return found()


@sync_queue.task
async def sync_loop() -> list[Any]:
    await asyncio.sleep(0)
    return [*found(), id(asyncio.get_running_loop())]


@async_queue.task(kind="thread")
def async_thread() -> list[Any]:
    return found()


@async_queue.task(kind="process")
def async_process() -> list[Any]:
    return found()


@async_queue.task
async def async_loop() -> list[Any]:
    await asyncio.sleep(0)
    return [*found(), id(asyncio.get_running_loop())]


SYNC = {"thread": sync_thread, "process": sync_process, "async": sync_loop}
ASYNC = {"thread": async_thread, "process": async_process, "async": async_loop}


@threads_only.task
def act(address: str) -> Any:
    return [jobs.act(address), current_job().resources["pid"], threading.current_thread().name]


@processes_only.task(kind="process")
def act_in_process(address: str) -> Any:
    return [jobs.act(address), current_job().resources["pid"]]


@loop_only.task
async def on_loop() -> None: ...
