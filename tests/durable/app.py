"""A program's durable tasks, as workers import them. The address is in the environment."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

from steadypool import Queue, Retry, Snooze, current_job
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT

queue = Queue()
QUICK = Retry(3, backoff=0.01)


@queue.task
def add(one: int, other: int = 0) -> int:
    return one + other


@queue.task
async def add_async(one: int, other: int = 0) -> int:
    return one + other


@queue.task
def inputs() -> list[tuple[str, str, Any]]:
    """What the job has waited for."""
    return [(one.id, one.state.value, one.result) for one in current_job().inputs]


@queue.task
async def inputs_async() -> list[tuple[str, str, Any]]:
    return inputs()


@queue.task
def report(name: str) -> tuple[str, str, int, int, list[str]]:
    """What became of the batch that the job follows."""
    batch = current_job().batch
    counts = batch.progress()
    return name, batch.id, counts.completed, counts.failed, [record.id for record in batch.failed()]


@queue.task
def results() -> list[tuple[str, str, list[str]]]:
    """What the members of the batch that the job follows have returned, and why they failed."""
    members = current_job().batch.members()
    return [(one.state.value, repr(one.result), [error.type_name for error in one.errors]) for one in members]


@queue.task
async def report_async(name: str) -> tuple[str, str, int, int, list[str]]:
    return report(name)


@queue.task
def spread(count: int) -> None:
    """Add so many members to its batch."""
    for number in range(count):
        current_job().batch.add(add.call(number))


@queue.task
async def spread_async(count: int) -> None:
    from asyncio import to_thread

    batch = current_job().batch
    await to_thread(batch.add_many, [add.call(number) for number in range(count)])


@queue.task
def mark(path: str, number: int) -> int:
    """Append a line, in one step."""
    with open(path, "ab", buffering=0) as file:
        file.write(f"{number}\n".encode())
    return number


@queue.task(retry=Retry(2, backoff=0.01, max_backoff=0.01))
def chancy(path: str, number: int, mends: bool) -> None:
    """Fail for every tenth number; at its first attempt only if it mends."""
    mark(path, number)
    if number % 10 == 0 and not (mends and current_job().attempt > 1):
        raise ValueError(number)


@queue.task
def need_file(path: str) -> int:
    return int(Path(path).read_text())


@queue.task
def act(address: str, name: str = "actor") -> Any:
    return jobs.act(address, name)


@queue.task
def perhaps_act(address: str | None) -> Any:
    """Act where there is a stage."""
    return None if address is None else jobs.act(address, "actor")


@queue.task
async def act_async(address: str, name: str = "actor") -> str:
    import asyncio

    reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(f"{name}\n".encode())
        order = (await reader.readline()).decode().rstrip()
        if order == "obey":
            await asyncio.sleep(60)
        return name
    except asyncio.CancelledError:
        writer.write(f"{current_job().cause}\n".encode())
        raise
    finally:
        writer.close()


@queue.task(retry=QUICK)
def fail(times: int = 100) -> int:
    """Fail so many times, then say which attempt it is."""
    attempt = current_job().attempt
    if attempt <= times:
        raise ValueError(f"attempt {attempt}")
    return attempt


@queue.task
def die() -> None:
    os._exit(3)


@queue.task(timeout=0.2)
def hang(address: str) -> Any:
    return jobs.act(address)


@queue.task
def token() -> str:
    return str(current_job().meta["fencing_token"])


@queue.task
async def scheduled() -> tuple[str, str]:
    """By which schedule it runs, and for which tick."""
    return str(current_job().schedule), str(current_job().scheduled_for)


@queue.task
def returns_nonsense() -> Any:
    return object()


@queue.task
def note(path: str, number: int) -> None:
    """Write a line, in one piece, that says which job ran and by which claim."""
    line = f"{number} {current_job().meta['fencing_token']}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


@queue.task
def hold_gil(address: str, pipe: str) -> int:
    """At the first attempt, hold the GIL inside C code until somebody writes to *pipe*; say which attempt it is."""
    attempt = current_job().attempt
    jobs.act(address, "holds")
    if attempt == 1:
        descriptor = os.open(pipe, os.O_RDWR)
        ctypes.PyDLL(None).read(descriptor, ctypes.create_string_buffer(1), 1)
        os.close(descriptor)
    return attempt


@queue.task(queue="other")
def hold_gil_elsewhere(address: str, pipe: str) -> int:
    return hold_gil(address, pipe)


@queue.task
def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("even")
    return number


@queue.task
def perhaps_die(code: int) -> int:
    if code:
        os._exit(code)
    return code


@queue.task
def until_first_stop(folder: str) -> int:
    """In its first run, wait for a stop; the runs after it return at once."""
    runs = Path(folder, "runs")
    if not runs.exists():
        runs.touch()
        current_job().sleep(WAIT)
        current_job().raise_if_cancelled()
    return current_job().attempt


@queue.task
def enqueue_more(count: int) -> list[str]:
    """A job that enqueues others."""
    return [add.enqueue(number).job_id for number in range(count)]


@queue.task
async def block_loop(address: str) -> Any:
    return jobs.act(address)


@queue.task
def big(size: int) -> str:
    return "x" * size


@queue.task(queue="children")
def child(number: int) -> int:
    return number


@queue.task
def parent(count: int) -> int:
    """Enqueue so many jobs of another queue, and wait for them."""
    return sum(child.enqueue(number).result() for number in range(count))


@queue.task
def snooze(folder: str, times: int, seconds: float) -> list[int]:
    """Not now, so many times; then say which attempt each run was."""
    with open(f"{folder}/runs", "a+") as file:
        file.write(f"{current_job().attempt}\n")
        file.seek(0)
        attempts = [int(line) for line in file]
    if len(attempts) <= times:
        raise Snooze(seconds)
    return attempts


@queue.task
async def snooze_async(folder: str, times: int, seconds: float) -> list[int]:
    return snooze(folder, times, seconds)


@queue.task(queue="alarms")
def refund(order: int, note: str, job_id: str, share: float, reason: str = "", colour: str = "") -> list[Any]:
    return [order, note, share, job_id, reason]


@queue.task
def take_note(job_id: str) -> None: ...


@queue.task(on_discarded=refund)
def charge(order: int, share: float = 1.5, note: str = "") -> None:
    raise ValueError(order)


@queue.task
def sums(count: int) -> int:
    """Enqueue so many jobs of the same queue, and wait for them."""
    return sum(add.enqueue(number).result() for number in range(count))


@queue.task
async def sums_async(count: int) -> int:
    import asyncio

    handles = [await add_async.enqueue_async(number) for number in range(count)]
    return sum([await asyncio.to_thread(handle.result) for handle in handles])


@queue.task
async def sums_awaited(count: int) -> int:
    """The same without a thread for each wait."""
    handles = [await add_async.enqueue_async(number) for number in range(count)]
    return sum([await handle.result_async() for handle in handles])


@queue.task
async def blocks_its_loop(queue: str = "default") -> int:
    handle = await add_async.options(queue=queue).enqueue_async(1)
    return handle.result()


@queue.task
async def looks_on_its_loop() -> int:
    import asyncio

    handle = await add_async.enqueue_async(1)
    while True:
        try:
            return handle.result(timeout=0)
        except TimeoutError:
            await asyncio.sleep(0.01)


@queue.task
async def blocks_its_loop_for_an_ended_job() -> int:
    import asyncio

    handle = await add_async.enqueue_async(1)
    await asyncio.to_thread(handle.result)
    return handle.result()


class LoudType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit("not your class")


class Loud(Exception, metaclass=LoudType):
    def __str__(self) -> str:
        raise SystemExit("not your text")


@queue.task
def raises_what_ends_programs() -> None:
    raise Loud


@queue.task(retry=Retry(3, on=Loud))
def is_retried_by_what_ends_programs() -> None:
    raise ValueError


@queue.task
def place() -> list[Any]:
    """Where it runs: the process, and the thread's name."""
    return [os.getpid(), threading.current_thread().name]


@queue.task(kind="process")
def place_in_process() -> list[Any]:
    return place()


@queue.task(kind="thread")
def place_on_thread() -> list[Any]:
    return place()


@queue.task
async def place_async() -> list[Any]:
    return place()


@queue.task(kind="thread")
async def place_async_on_thread() -> list[Any]:
    return place()


@queue.task(kind="process")
def act_in_process(address: str, name: str = "actor") -> Any:
    return jobs.act(address, name)
