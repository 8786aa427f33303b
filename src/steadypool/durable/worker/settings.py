"""`WorkerSettings`: how a worker works."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from steadypool.durable.client.options import KINDS, Kind, check_name
from steadypool.durable.engine.records import DEFAULT_QUEUE
from steadypool.durable.worker.verdicts import CrashLimits
from steadypool.model.checks import check_count, check_seconds

DEFAULT_CAPS = CrashLimits()
LONGEST_LEASE = 86_400.0


class WorkerKeywords(TypedDict, total=False):
    """The settings of a worker as keywords, for type checkers."""

    kind: Kind
    workers: int | None
    queues: tuple[str, ...]
    name: str
    lease: float
    caps: CrashLimits
    cancel_grace: float
    give_up_unknown: float | None
    pool: dict[str, Any]
    process_pool: dict[str, Any]
    processes: int | None
    coroutines: int | None
    queue_slots: Mapping[str, int]


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of a worker.

    Args:
        kind: what runs the jobs whose tasks do not say: ``"thread"`` or ``"process"``. Coroutine functions run on an
            event loop; with ``"async"`` other functions run on threads.
        workers: how many jobs run at a time, of all kinds together; by default of each kind as its pool has it.
        processes: how many of them in processes, beside those.
        coroutines: how many of them on the event loop, beside those.
        queues: names of the queues to work on. The first ones are not preferred: each claim begins with another.
        queue_slots: how many jobs of a queue run here at a time, at most and of its own: so many slots of each kind are
            not for the queues that are not named here.
        name: what others see it by; host and process id by default.
        lease: seconds after which others may take its jobs once it is gone. Renewed three times in that time.
        caps: how often a job may kill its process, or be lost with its worker.
        cancel_grace: seconds that a job has to end after it was asked to stop.
        give_up_unknown: seconds after which jobs are discarded whose task no worker has known, or whose arguments are
            for no worker's version of it; ``None``: they never are. This worker's say for those that it meets.
        pool: further arguments for the pools, such as ``max_tasks_per_child``.
        process_pool: the same for the pool of processes alone.
    """

    kind: Kind = "thread"
    workers: int | None = None
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    name: str = ""
    lease: float = 6.0
    caps: CrashLimits = DEFAULT_CAPS
    cancel_grace: float = 1.0
    give_up_unknown: float | None = 30 * 86_400.0
    pool: dict[str, Any] = field(default_factory=dict)
    process_pool: dict[str, Any] = field(default_factory=dict)
    processes: int | None = None
    coroutines: int | None = None
    queue_slots: Mapping[str, int] = field(default_factory=dict)

    @property
    def given_up_after(self) -> float:
        """`give_up_unknown` as a number."""
        return math.inf if self.give_up_unknown is None else self.give_up_unknown

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        for name in ("workers", "processes", "coroutines"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_count(name, getattr(self, name)))
        if not self.queues:
            raise ValueError(f"queues must be names such as ('default',), not {self.queues!r}")
        for name in self.queues:
            check_name("a name in queues", name, "mail")
        self._check_queue_slots()
        if (check_seconds("lease", self.lease) or 0.0) < 1.0:
            raise ValueError(f"lease must be 1 second or more, not {self.lease!r}: a busy machine pauses for that long")
        if self.lease > LONGEST_LEASE:
            raise ValueError(
                f"lease must be a day at most, not {self.lease!r}: lost jobs are not taken back for that long"
            )
        check_seconds("give_up_unknown", self.give_up_unknown)
        if not self.name:
            object.__setattr__(self, "name", f"{socket.gethostname()}-{os.getpid()}")
        check_name("name", self.name, "mail-1")

    def _check_queue_slots(self) -> None:
        for name, count in self.queue_slots.items():
            if name not in self.queues:
                raise ValueError(f"queue_slots has {name!r}, which is not among the queues: {', '.join(self.queues)}")
            check_count(f"the slots of queue {name!r}", count)
        least = sum(self.queue_slots.values()) + (len(self.queue_slots) < len(set(self.queues)))
        if self.queue_slots and self.workers is not None and self.workers < least:
            raise ValueError(
                f"the queues need {least} slots, one for those without a number included, and there are "
                f"{self.workers}: have {least} workers or more, or leave the number of workers out"
            )
