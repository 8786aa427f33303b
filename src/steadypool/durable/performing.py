"""What a pool's worker runs for one claim: decode the arguments, call the function, encode the result.

It happens where the job runs: in a process pool the payload travels as it is stored, and what it means is found out
in the child. There the task is found by its name; one that has none to be found by travels as a function.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from time import monotonic
from typing import Any

from steadypool.durable.payload import Payload
from steadypool.durable.task import DurableTask

Place = tuple[str, str]
Performed = tuple[bytes, float]
"""What the task returned, encoded, and how many seconds it took."""


def place_of(task: DurableTask[Any, Any]) -> Place | None:
    """Module and qualified name by which another process finds the task; ``None`` if it would not."""
    module, name = getattr(task.fn, "__module__", None), task.fn.__qualname__
    if module is None or module == "__main__" or "<locals>" in name:
        return None
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is task else None


def perform_at(module: str, name: str, payload: str) -> Performed:
    """Run the task that is found there."""
    return perform(_task_at(module, name), payload)


def perform_function(fn: Callable[..., Any], name: str, payload: str) -> Performed:
    """Run a function that has travelled by value."""
    return _perform(Payload(name, fn), fn, payload)


def perform(task: DurableTask[Any, Any], payload: str) -> Performed:
    """Run a task."""
    return _perform(task.payload, task.fn, payload)


async def perform_async(task: DurableTask[Any, Any], payload: str) -> Performed:
    """Run a coroutine function on the running loop."""
    began = monotonic()
    args, kwargs = task.payload.decode(payload)
    return task.payload.encode_result(await task.fn(*args, **kwargs)), monotonic() - began


def is_async(task: DurableTask[Any, Any]) -> bool:
    """Whether the task is a coroutine function."""
    return inspect.iscoroutinefunction(task.fn)


def _perform(how: Payload, fn: Callable[..., Any], payload: str) -> Performed:
    began = monotonic()
    args, kwargs = how.decode(payload)
    result = fn(*args, **kwargs)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)  # on a thread or in a process of its own, a loop of its own
    return how.encode_result(result), monotonic() - began


@cache
def _task_at(module: str, name: str) -> DurableTask[Any, Any]:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, DurableTask):
        raise TypeError(f"{module}:{name} is no durable task in this process, but {found!r}")
    return found
