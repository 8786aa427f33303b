"""Jobs that are always in the middle of Python code: calls, generators, coroutines and classes come and go."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any

from steadypool import current_job


class Number:
    def __init__(self, value: int) -> None:
        self.value = value

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value)

    def __getattr__(self, name: str) -> int:
        return self.value


def count(most: int) -> Iterator[int]:
    yield from range(most)


async def same(value: int) -> int:
    return value


def run(coroutine: Coroutine[Any, Any, int]) -> int:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return int(stop.value)
    raise AssertionError("it does not wait")


def dive(depth: int) -> int:
    return dive(depth - 1) if depth else 0


def spin() -> None:
    """Until asked to stop."""
    job, number = current_job(), Number(0)
    while not job.cancelled:
        number = number + Number(1)
        number.something  # noqa: B018
        next(count(3))
        sum(count(5))
        run(same(3))
        dive(8)
        sorted([3, 1, 2], key=lambda one: -one)
        exec("class Made:\n    pass")


def turn_left() -> None:
    """A moment of Python code."""
    for _ in range(10):
        dive(50)


def turn_right() -> None:
    """Another."""
    for _ in range(10):
        dive(50)
