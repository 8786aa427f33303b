"""Durable tasks whose jobs save, as workers import them. The address is in the environment."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from steadypool import JobCancelled, Queue, Retry, current_job
from tests.durable import app
from tests.pools.contract import jobs

queue = Queue()


@queue.task(checkpoint=int)
def walk(path: str, count: int, address: str = "", at: int = -1) -> int:
    """Write a line for each item and save; come to the stage behind the item *at*. Says where it began."""
    job = current_job()
    first = job.checkpoint or 0
    for item in range(first, count):
        app.mark(path, item)
        if item == at:
            job.save(item + 1, flush=True)
            jobs.act(address, str(item))
        job.save(item + 1)
    return int(first)


@queue.task(checkpoint=int, kind="process")
def walk_in_process(path: str, count: int, address: str = "", at: int = -1) -> int:
    return walk(path, count, address, at)


@queue.task(checkpoint=int)
async def walk_async(path: str, count: int, address: str = "", at: int = -1) -> int:
    job = current_job()
    first = job.checkpoint or 0
    for item in range(first, count):
        app.mark(path, item)
        if item == at:
            await job.save_async(item + 1)
            async with asyncio.TaskGroup() as group:  # what a task of its own saves interrupts it, too
                group.create_task(_act_and_save(address, item))
        job.save(item + 1)
    return int(first)


async def _act_and_save(address: str, item: int) -> None:
    await asyncio.to_thread(jobs.act, address, str(item))
    current_job().save(item + 1)


@queue.task(checkpoint=int)
def walk_on(path: str, stop: str) -> int:
    """The same without an end, until there is a file *stop*."""
    job = current_job()
    item: int = job.checkpoint or 0
    while not os.path.exists(stop):
        app.mark(path, item)
        item += 1
        job.save(item)
        job.sleep(0.005)
    return item


@queue.task(checkpoint=int, retry=Retry(3, backoff=0.01, max_backoff=0.01))
def fail_once(path: str, count: int, at: int) -> list[int]:
    """Raise behind the item *at*, in the first attempt. Says where it began, and in which attempt."""
    for item in range(first := current_job().checkpoint or 0, count):
        _mark_and_save(path, item)
        if item == at and current_job().attempt == 1:
            raise ValueError(item)
    return [first, current_job().attempt]


@queue.task(checkpoint=int, kind="process")
def die_once(path: str, count: int, at: int) -> list[int]:
    """Die behind the item *at*, in the first attempt."""
    for item in range(first := current_job().checkpoint or 0, count):
        _mark_and_save(path, item)
        if item == at and current_job().attempt == 1:
            os._exit(3)
    return [first, current_job().attempt]


def _mark_and_save(path: str, item: int) -> None:
    app.mark(path, item)
    current_job().save(item + 1)


@queue.task(checkpoint=int)
def contend(address: str) -> None:
    """Come to the stage, and write what it says down. Come again and say what became of that."""
    job, name = current_job(), str(current_job().attempt)
    jobs.act(address, name)
    try:
        job.save(job.attempt, flush=True)
    except JobCancelled as error:
        jobs.act(address, f"{name} {error.cause}")
        raise
    jobs.act(address, f"{name} saved")


@queue.task(checkpoint=int)
def save_much(address: str, count: int) -> None:
    job = current_job()
    for number in range(count):
        job.save(number)
    jobs.act(address)


@queue.task
def save_nothing() -> Any:
    current_job().save(1)


TASKS = {"thread": walk, "process": walk_in_process, "async": walk_async}
