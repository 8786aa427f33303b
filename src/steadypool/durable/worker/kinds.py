"""Which kind of pool runs a task's jobs, and how many jobs of each kind a worker runs at a time.

Kinds share slots unless one has a number of its own (``processes``, ``coroutines``), or no number is given: then each
has as many as its pool has by default.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from steadypool.durable.client.task import DurableTask
from steadypool.durable.worker.run_job import is_async
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.model.limit import Limit
from steadypool.pools.threads.pool import default_workers

_numbers = itertools.count(1)
"""Two workers of one program may have one name."""


def kind_of(task: DurableTask[Any, Any], default: str) -> str:
    """What runs its jobs in a worker whose ``--kind`` is *default*."""
    if task.kind is not None:
        return task.kind
    return "async" if is_async(task) else _of_plain(default)


def kinds_of(tasks: Iterable[DurableTask[Any, Any]], default: str) -> tuple[str, ...]:
    """The kinds that these tasks need, the *default* first."""
    needed = {kind_of(task, default) for task in tasks} or {_of_plain(default)}
    return tuple(sorted(needed, key=lambda kind: (kind != default, kind)))


def _of_plain(default: str) -> str:
    return "thread" if default == "async" else default


@dataclass(frozen=True, slots=True)
class SlotGroup:
    """Kinds that share slots."""

    kinds: tuple[str, ...]
    slots: int
    reserved: int
    """So many are not for jobs of the queues that have no number of slots."""


def limits_of(groups: Iterable[SlotGroup], worker: str) -> dict[str, Limit]:
    """For each kind that shares its slots, the limit that the pools of these kinds have in common.

    Each of them could run as many jobs as there are slots, and some that were claimed ahead wait there.
    """
    shared = [group for group in groups if len(group.kinds) > 1]
    made = {group: Limit(f"slots of {worker}, {next(_numbers)}", running=group.slots) for group in shared}
    return {kind: limit for group, limit in made.items() for kind in group.kinds}


def slot_groups(settings: WorkerSettings, kinds: Iterable[str], coroutines: int) -> tuple[SlotGroup, ...]:
    """How the kinds share the worker's slots; *coroutines*: as many as the queue has by default."""
    defaults = {"thread": default_workers(), "process": os.cpu_count() or 1, "async": coroutines}
    own = {"process": settings.processes, "async": settings.coroutines}
    reserved = sum(settings.queue_slots.values())
    groups: list[SlotGroup] = []
    sharing: list[str] = []
    for kind in kinds:
        count = own.get(kind)
        if count is None and settings.workers is not None:
            sharing.append(kind)
        else:
            groups.append(SlotGroup((kind,), count or _by_default(defaults[kind], settings, reserved), reserved))
    if sharing:
        groups.append(SlotGroup(tuple(sharing), settings.workers or 1, reserved))
    return tuple(groups)


def _by_default(count: int, settings: WorkerSettings, reserved: int) -> int:
    if reserved and set(settings.queues) <= settings.queue_slots.keys():
        return reserved
    return reserved + count
