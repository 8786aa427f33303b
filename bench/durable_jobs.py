"""The jobs of the durable bench, as our workers import them. The address is in the environment."""

from __future__ import annotations

import os
from time import sleep, time

from steadypool import Queue

queue = Queue()


@queue.task(timeout=60, keep=3600)
def nothing(number: int) -> int:
    return number


@queue.task(timeout=60, keep=3600)
def millisecond(number: int) -> int:
    sleep(0.001)
    return number


@queue.task(keep=3600)
def line(path: str, number: int, seconds: float = 0.001) -> None:
    """So many seconds of work, and a line that says that it was done."""
    sleep(seconds)
    write_line(path, number)


def write_line(path: str, number: int) -> None:
    """Write it in one piece."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)


@queue.task
def since(enqueued: float) -> float:
    """Seconds from the call of enqueue to the start here."""
    return time() - enqueued
