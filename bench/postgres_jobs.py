"""The jobs of the bench on PostgreSQL, as our workers import them. The address is in the environment.

Each takes a number and a path, and so do those of the peers (`do`, `do_async`).
"""

from __future__ import annotations

import asyncio
import os
from time import sleep, time

from steadypool import Queue

queue = Queue()
SECONDS = {"millisecond": 0.001, "line": 0.02}


def write_line(path: str, what: float) -> None:
    """Write it in one piece."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def do(what: str, number: float, path: str) -> None:
    """Nothing; or a millisecond of waiting; or a longer one, and a line that says so; or how long it has waited."""
    if what in SECONDS:
        sleep(SECONDS[what])
    _leave_a_line(what, number, path)


async def do_async(what: str, number: float, path: str) -> None:
    """The same on an event loop."""
    if what in SECONDS:
        await asyncio.sleep(SECONDS[what])
    _leave_a_line(what, number, path)


def _leave_a_line(what: str, number: float, path: str) -> None:
    if what == "line":
        write_line(path, number)
    elif what == "since":
        write_line(path, time() - number)


@queue.task(timeout=60, keep=3600)
def nothing(number: float, path: str) -> None:
    do("nothing", number, path)


@queue.task(timeout=60, keep=0)
def forgotten(number: float, path: str) -> None:
    """Of this no record is kept."""


@queue.task(timeout=60, keep=3600)
def millisecond(number: float, path: str) -> None:
    do("millisecond", number, path)


@queue.task(keep=3600)
def line(number: float, path: str) -> None:
    do("line", number, path)


@queue.task(keep=3600)
def since(number: float, path: str) -> None:
    do("since", number, path)


@queue.task(timeout=60, keep=3600)
async def nothing_async(number: float, path: str) -> None:
    await do_async("nothing", number, path)


@queue.task(timeout=60, keep=3600)
async def millisecond_async(number: float, path: str) -> None:
    await do_async("millisecond", number, path)


@queue.task(keep=3600)
async def line_async(number: float, path: str) -> None:
    await do_async("line", number, path)


@queue.task(keep=3600)
async def since_async(number: float, path: str) -> None:
    await do_async("since", number, path)
