"""What a pool's worker runs for one claim: decode the arguments, call the function, encode the result.

It happens where the job runs: in a process pool the payload travels as it is stored, and what it means is found out
in the child. There the task is found by its name; one that has none to be found by travels as a function.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from functools import cache
from importlib import import_module
from typing import Any

from steadypool.durable.client import nested_waits
from steadypool.durable.client.address import TEST_VARIABLE
from steadypool.durable.client.lifespan import Manager
from steadypool.durable.client.nested_waits import Slots
from steadypool.durable.client.payload import Payload
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import TaskNotHere
from steadypool.durable.engine.url import URL_VARIABLE
from steadypool.durable.worker import lifespan
from steadypool.durable.worker.job_links import filled
from steadypool.model.clock import monotonic
from steadypool.model.error_text import in_a_line
from steadypool.model.errors import Snooze
from steadypool.model.options import find
from steadypool.pools.processes import parts
from steadypool.pools.processes.ipc.exceptions import pack_error
from steadypool.primitives.job_context import JobContext, current_job, set_finder

Place = tuple[str, str]
Performed = tuple[bytes | None, float]
"""What the task returned, encoded, and how many seconds it took. Or ``None``, and for how long it is not to run: it has
raised `Snooze`; or was interrupted where it saved, and it is `saver.HANDED_OVER`."""
Ended = tuple[bytes | None, float | None]
"""The same; or an error, packed, and ``None``."""
Item = tuple[str, str, int, str]
"""A job of a bundle: its id, its fencing token, its attempt, its payload."""


def place_of(task: DurableTask[Any, Any]) -> Place | None:
    """Module and qualified name by which another process finds the task; ``None`` if it would not."""
    module, name = getattr(task.fn, "__module__", None), getattr(task.fn, "__qualname__", None)
    if module is None or name is None or module == "__main__" or "<locals>" in name:
        return None
    return (module, name) if _durable(find(module, name)) is task else None


def perform_at(module: str, name: str, payload: str) -> Performed:
    """Run the task that is found there."""
    nested_waits.enter_in_process()
    lifespan.give_in_process()
    return perform(_task_at(module, name), payload)


def perform_function(fn: Callable[..., Any], name: str, most: int | None, payload: str) -> Performed:
    """Run a function that has travelled by value."""
    nested_waits.enter_in_process()
    lifespan.give_in_process()
    return _perform(Payload(name, fn, most), fn, payload)


def perform(task: DurableTask[Any, Any], payload: str) -> Performed:
    """Run a task."""
    return _perform(task.payload, task.fn, payload)


def perform_within(slots: Slots, task: DurableTask[Any, Any], payload: str) -> Performed:
    """Run a task on a thread of the worker that has those slots."""
    nested_waits.enter(slots)
    lifespan.give(slots)
    return perform(task, payload)


def perform_bundle(module: str, name: str, items: list[Item]) -> list[Ended]:
    """Run several short jobs of the task that is found there, one after the other, each in a context of its own.

    Stops early when the bundle is asked to stop, or the worker has taken back what has not begun: what has not run has
    no entry, and neither has the one that fails when it is to stop, since that may be meant for another. What is no
    ``Exception`` ends the bundle, and the jobs are then run one by one.
    """
    task, outer = _task_at(module, name), current_job()
    ended: list[Ended] = []
    before = set_finder(None)
    try:
        for place, item in enumerate(items):
            if outer.cause is not None or not parts.begins(outer, place):
                break
            job = ItemContext(outer, *item[:3])
            set_finder(job.found)
            end = Context().run(_attempt, task, item[3])
            if end[1] is None and outer.cancelled:
                break
            ended.append(end)
    finally:
        set_finder(before)
    return ended


def _attempt(task: DurableTask[Any, Any], payload: str) -> Ended:
    nested_waits.enter_in_process()
    lifespan.give_in_process()
    try:
        return perform(task, payload)
    except Exception as error:
        return pack_error(error), None


class ItemContext(JobContext):
    """The context of one job of a bundle."""

    def __init__(self, outer: JobContext, id: str, token: str, attempt: int) -> None:
        super().__init__(id, outer.task, attempt, outer.deadline, {**outer.meta, "fencing_token": token})
        self._outer = outer

    @property
    def cause(self) -> str | None:
        """See `JobContext`: a stop of one of a bundle stops the bundle."""
        return self._outer.cause

    def found(self) -> JobContext:
        """What `current_job` finds while this job runs."""
        return self

    def _wait(self, seconds: float) -> None:
        self._outer._wait(seconds)


async def perform_async(slots: Slots, task: DurableTask[Any, Any], payload: str) -> Performed:
    """Run a coroutine function on the running loop, which is that of the worker's with those slots."""
    nested_waits.enter(slots)
    lifespan.give(slots)
    began = monotonic()
    args, kwargs = task.payload.decode(filled(payload))
    try:
        result = await task.fn(*args, **kwargs)
    except Snooze as snooze:
        return None, snooze.seconds
    return task.payload.encode_result(result), monotonic() - began


def prepare_process(
    prepare: Callable[[], object] | None,
    slots: Slots,
    places: Sequence[Place],
    enter: Callable[[], Manager] | None,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """What each process of a pool begins with.

    A `Queue` without an address of its own finds the worker's; in a test, any does. The tasks are made ready, which
    would be in the time of the first job of each.
    """
    os.environ[URL_VARIABLE] = slots.url
    if slots.test is not None:
        os.environ[TEST_VARIABLE] = slots.test
    if prepare is not None:
        prepare()
    nested_waits.work_for(slots)
    for module, name in places:
        # What cannot be had here is the failure of its jobs: they try again, and say why.
        with suppress(Exception):
            _payload_at(module, name)
    if initializer is not None:
        initializer(*initargs)
    if enter is not None:
        lifespan.enter_process(enter)


def nothing() -> None:
    """What a process runs to show that it is there."""


def is_async(task: DurableTask[Any, Any]) -> bool:
    """Whether the task is a coroutine function."""
    return inspect.iscoroutinefunction(task.fn)


def _perform(how: Payload, fn: Callable[..., Any], payload: str) -> Performed:
    began = monotonic()
    args, kwargs = how.decode(filled(payload))
    try:
        result = fn(*args, **kwargs)
        if inspect.iscoroutine(result):
            import asyncio  # for those who use it

            result = asyncio.run(result)  # on a thread or in a process of its own, a loop of its own
    except Snooze as snooze:
        return None, snooze.seconds
    return how.encode_result(result), monotonic() - began


@cache
def _task_at(module: str, name: str) -> DurableTask[Any, Any]:
    """The task of that place, as the files have it now: they may have changed since the worker began.

    Raises:
        TaskNotHere: there is none.
    """
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        what = f"{module}:{name} cannot be had in this process of the worker"
        raise TaskNotHere(f"{what}: {in_a_line(error)}") from error
    task = _durable(found)
    if not isinstance(task, DurableTask):
        raise TaskNotHere(f"{module}:{name} is no durable task in this process of the worker, but {found!r}")
    return task


def _durable(found: object) -> object:
    """What stands for a durable task, as a task of another library's does, names it as its ``durable_task``."""
    return getattr(found, "durable_task", found)


def _payload_at(module: str, name: str) -> Payload:
    return _task_at(module, name).payload
