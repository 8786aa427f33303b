"""The jobs of the durable bench, as our workers import them. The address is in the environment."""

from __future__ import annotations

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


@queue.task
def since(enqueued: float) -> float:
    """Seconds from the call of enqueue to the start here."""
    return time() - enqueued
