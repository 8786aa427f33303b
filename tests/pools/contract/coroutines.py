"""The asynchronous twins of those `tests.pools.contract.jobs` that wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from steadypool import JobContext, current_job
from tests.pools.contract import jobs


async def _until_told(job: JobContext) -> None:
    if job.cancelled:
        return  # the cancellation came while it waited for orders
    try:
        await job.sleep(60)  # type: ignore[misc]
    except asyncio.CancelledError:
        pass


async def _obey(job: JobContext) -> str:
    await _until_told(job)
    job.raise_if_cancelled()
    return "was not asked to stop"


async def _finish(job: JobContext) -> str:
    await _until_told(job)
    return f"finished though {job.cause}"


async def _fail_when_told(job: JobContext) -> NoReturn:
    await _until_told(job)
    raise OSError("cleaning up failed")


async def _told(job: JobContext) -> Any:
    await _until_told(job)
    return None, job.cause


async def _sleep_a_little(job: JobContext) -> Any:
    return await job.sleep(0.01)  # type: ignore[misc]


WAITING: dict[str, Callable[[JobContext], Awaitable[Any]]] = {
    "obey": _obey,
    "finish when told": _finish,
    "fail when told": _fail_when_told,
    "told": _told,
    "sleep a little": _sleep_a_little,
}


async def _done(word: str, job: JobContext) -> Any:
    if word in WAITING:
        return await WAITING[word](job)
    return {**jobs.ORDERS, **jobs.QUESTIONS}[word](job)


async def act(address: str, name: str = "actor") -> Any:
    """`jobs.act`; what it is told meanwhile, it ignores."""
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(name.encode() + b"\n")
        while line := await _read_line(reader):
            order = line.decode().rstrip()
            if order in jobs.ORDERS:
                return await _done(order, current_job())
            if order == "return":
                break
            writer.write(json.dumps(await _done(order, current_job())).encode() + b"\n")
        return name
    finally:
        writer.close()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """A line, whatever cancellations come meanwhile."""
    reading = asyncio.ensure_future(reader.readline())
    while True:
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            if reading.done():
                return b"" if reading.cancelled() else reading.result()


async def obey(address: str, name: str = "obedient") -> Any:
    """`jobs.obey`."""
    _, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(name.encode() + b"\n")
        return await _obey(current_job())
    finally:
        writer.close()


async def sleep(seconds: float) -> float:
    """`jobs.sleep`."""
    await asyncio.sleep(seconds)
    return seconds


TWINS: dict[Any, Callable[..., Awaitable[Any]]] = {
    jobs.act: act,
    jobs.staged.fn: act,
    jobs.obey: obey,
    jobs.sleep: sleep,
}
