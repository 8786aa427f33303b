"""A program whose tasks have limits, as workers import it. The address is in the environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from steadypool import Limit, Queue
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import JobState
from tests.durable.programs import Program
from tests.pools.contract import jobs

queue = Queue(app="mill")
AT_ONCE = 3
"""Jobs of one tenant that may run at one time."""
stones = queue.limit("stones", running=2)


@queue.task(limit=Limit("tenants", running=AT_ONCE, by="tenant"))
def grind(tenant: int, seconds: float = 0.01) -> int:
    time.sleep(seconds)
    return tenant


@queue.task(limit=stones)
def act(address: str, name: str = "actor") -> Any:
    return jobs.act(address, name)


@queue.task(lane="tenant")
def thumbnail(tenant: int, path: str = "") -> int:
    return tenant


@queue.task
def free(number: int) -> int:
    return number


def start_worker(*options: str) -> Program:
    """A worker of this program, in a process of its own."""
    return Program("steadypool.cli", "work", "tests.durable.limits.mill:queue", "--quiet", *options)


def most_at_once(records: Iterable[JobRecord]) -> int:
    """How many of these jobs have run at one time at most, by the engine's clock: from each claim to its end."""
    moments: list[tuple[float, int]] = []
    for record in records:
        for begun, ended in runs_of(record):
            moments += [(begun, 1), (ended, -1)]
    running = most = 0
    for _, changes in groupby(sorted(moments), key=lambda moment: moment[0]):
        for change in sorted(change for _, change in changes):  # what ends at a moment, ends before another begins
            running += change
            most = max(most, running)
    return most


def runs_of(record: JobRecord) -> Sequence[tuple[float, float]]:
    """Each attempt, from its claim to its end; of one that was lost, to the sweep."""
    lost = [(error.started_at, error.at) for error in record.errors]
    last = [(record.started_at, record.ended_at)] if record.state is JobState.COMPLETED else []
    return [(begun, ended) for begun, ended in (*lost, *last) if begun is not None and ended is not None]
