"""`WorkerSettings`: how a worker works."""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass, field
from typing import Any

from steadypool.durable.client.options import check_name
from steadypool.durable.engine.records import DEFAULT_QUEUE
from steadypool.durable.worker.verdicts import CrashLimits
from steadypool.model.options import check_count, check_seconds

DEFAULT_CAPS = CrashLimits()
KINDS = ("thread", "process", "async")
LONGEST_LEASE = 86_400.0


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker works.

    Args:
        kind: what runs the jobs: ``"thread"``, ``"process"`` or ``"async"``.
        workers: how many run at a time; by default as the pool has it.
        queues: names of the queues to work on. The first ones are not preferred: each claim begins with another.
        name: what others see it by; host and process id by default.
        lease: seconds after which others may take its jobs once it is gone. Renewed three times in that time.
        caps: how often a job may kill its process, or be lost with its worker.
        cancel_grace: seconds that a job has to end after it was asked to stop.
        give_up_unknown: seconds after which jobs are discarded whose task no worker has known, or whose arguments are
            for no worker's version of it; ``None``: they never are. This worker's say for those that it meets.
        pool: further arguments for the pool, such as ``max_tasks_per_child``.
    """

    kind: str = "process"
    workers: int | None = None
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    name: str = ""
    lease: float = 6.0
    caps: CrashLimits = DEFAULT_CAPS
    cancel_grace: float = 1.0
    give_up_unknown: float | None = 30 * 86_400.0
    pool: dict[str, Any] = field(default_factory=dict)

    @property
    def given_up_after(self) -> float:
        """`give_up_unknown` as a number."""
        return math.inf if self.give_up_unknown is None else self.give_up_unknown

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.workers is not None:
            object.__setattr__(self, "workers", check_count("workers", self.workers))
        if not self.queues:
            raise ValueError(f"queues must be names such as ('default',), not {self.queues!r}")
        for name in self.queues:
            check_name("a name in queues", name, "mail")
        if (check_seconds("lease", self.lease) or 0.0) < 1.0:
            raise ValueError(f"lease must be 1 second or more, not {self.lease!r}: a busy machine pauses for that long")
        if self.lease > LONGEST_LEASE:
            raise ValueError(
                f"lease must be a day at most, not {self.lease!r}: for so long nobody takes lost jobs back"
            )
        check_seconds("give_up_unknown", self.give_up_unknown)
        if not self.name:
            object.__setattr__(self, "name", f"{socket.gethostname()}-{os.getpid()}")
        check_name("name", self.name, "mail-1")
