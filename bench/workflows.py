"""Chains, fans and batches beside as many free jobs, on both engines: jobs that do nothing, one worker, on threads.

Putting is included, and every commit waits for the disk. A link of a chain can begin when the one before it is settled:
it is a claim of its own. So a chain stands beside jobs of which each enqueues the next, the other way to do that.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.rounds import Effort
from bench.tables import Table, Target
from steadypool import JobFilter, JobState, Queue, Worker, WorkerSettings
from steadypool.durable.engine.url import URL_VARIABLE
from tests.durable.engine.postgres import server

WIDE, LONG = 10_000, 1_000
MOST = 1.5
Put = Callable[[int], None]
queue = Queue()


@queue.task
def nothing() -> None:
    """What each job does."""


@queue.task
def relay(left: int) -> None:
    """Enqueue the next."""
    if left > 1:
        relay.enqueue(left - 1)


def free(count: int) -> None:
    queue.enqueue_many(nothing, [()] * count)


def chain(count: int) -> None:
    queue.chain(*[nothing.call()] * count)


def fan_out(count: int) -> None:
    first = nothing.enqueue()
    queue.enqueue_many(nothing.options(after=[first]), [()] * count)


def fan_in(count: int) -> None:
    handles = queue.enqueue_many(nothing, [()] * count)
    nothing.options(after=handles).enqueue()


def batch(count: int) -> None:
    with queue.batch("bench", then=nothing.call()):
        queue.enqueue_many(nothing, [()] * count)


def by_itself(count: int) -> None:
    relay.enqueue(count)


SHAPES: dict[str, tuple[Put, Put, int]] = {
    f"a job, and {WIDE:,} after it": (fan_out, free, WIDE),
    f"{WIDE:,} jobs, and one after all": (fan_in, free, WIDE),
    f"a batch of {WIDE:,}": (batch, free, WIDE),
    f"a chain of {LONG:,}": (chain, by_itself, LONG),
}


def workflows(effort: Effort) -> Table:
    """The table. Needs the shared server of `bench.postgres`."""
    shares: dict[str, dict[str, float]] = {}
    seconds: dict[str, dict[str, float]] = {}
    for name, (put, beside, count) in SHAPES.items():
        for engine in ("SQLite", "PostgreSQL"):
            rounds = range(1 if effort.quick else 5)
            runs = [(_run(engine, beside, count), _run(engine, put, count)) for _ in rounds]
            shares.setdefault(name, {})[engine] = statistics.median(shaped / plain for plain, shaped in runs)
            seconds.setdefault(name, {})[engine] = statistics.median(shaped for _, shaped in runs)
    rows = [
        (name, *(cell for engine in found for cell in (f"{seconds[name][engine]:.2f} s", f"{found[engine]:.2f}")))
        for name, found in shares.items()
    ]
    targets = [
        Target(f"{name}, {engine}: at most {MOST} times as many free jobs", share, share <= MOST)
        for name, found in shares.items()
        for engine, share in found.items()
    ]
    columns = ("", "SQLite", "times free jobs", "PostgreSQL", "times free jobs")
    return Table("workflows", "Jobs after jobs, and batches", columns, rows, {"shares": shares}, targets=targets)


def _run(engine: str, put: Put, count: int) -> float:
    """Seconds from the first put to the end of the last job, by the engine's clock."""
    with _store(engine) as url:
        os.environ[URL_VARIABLE] = url
        queue.engine.migrate()
        put(count)
        Worker(queue, WorkerSettings(kind="thread", workers=2)).run(until_empty=True)
        records = queue.engine.find(JobFilter(limit=count + 10))
        queue.close()
    assert len(records) >= count
    assert all(record.state is JobState.COMPLETED for record in records)
    return max(record.ended_at or 0.0 for record in records) - min(record.enqueued_at for record in records)


@contextmanager
def _store(engine: str) -> Iterator[str]:
    if engine == "PostgreSQL":
        with server.database(server.template()) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
        yield f"sqlite:///{folder}/jobs.db"
