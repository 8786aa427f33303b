"""Is it late, what fails, what runs, who works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steadypool.contrib.web import programs
from steadypool.contrib.web.charts import Chart, chart_of
from steadypool.contrib.web.look import Look, Page
from steadypool.durable.engine.figures import MinuteRow
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, JobRecord, WorkerRow
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.why_idle import unserved
from steadypool.model.queue_depth import QueueDepth

HOUR = 3600.0
LATE = 60.0
"""Seconds after its time at which a schedule is late."""
MOST_QUEUES = 50
COUNTED = 10_001
MOST_TASKS = 20
MOST_RUNNING = 100
SCHEDULES = 500
"""Of which is seen whether they are late."""
RUNNING = JobFilter(frozenset({JobState.RUNNING}), limit=MOST_RUNNING)


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue."""

    depth: QueueDepth
    chart: Chart
    is_unserved: bool = False
    """Jobs wait there, and no worker claims them."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is to see."""

    queues: Sequence[QueueLine]
    queue_count: int
    chart: Chart
    workers: Sequence[WorkerRow]
    running: Sequence[JobRecord]
    warnings: Sequence[str]
    now: float


def page(look: Look) -> Page:
    """The page."""
    overview = look.reader.read("overview", read)
    tasks = look.reader.read("tasks", lambda engine: engine.figures.by_task(HOUR), 2.0)
    pools = look.reader.cache.get("programs", programs.snapshots, 2.0)
    values = {
        "overview": overview,
        "tasks": sorted(tasks, key=lambda one: (-one.failed, -one.completed))[:MOST_TASKS],
        "programs": pools,
        "runs": runs_of(overview.running),
    }
    return Page("overview", "Overview", values)


def runs_of(records: Sequence[JobRecord]) -> dict[str, list[JobRecord]]:
    """Jobs by the worker that runs them."""
    found: dict[str, list[JobRecord]] = {}
    for record in records:
        found.setdefault(record.worker or "", []).append(record)
    return found


def depths_of(engine: Engine) -> tuple[Sequence[QueueDepth], int]:
    """What the queues hold, and how many there are."""
    names = engine.figures.queues()
    return engine.depths(names[:MOST_QUEUES], COUNTED), len(names)


def lines_of(
    depths: Sequence[QueueDepth], minutes: Sequence[MinuteRow], workers: Sequence[WorkerRow], now: float
) -> list[QueueLine]:
    """A line for each queue."""
    left = unserved(depths, workers)
    return [
        QueueLine(depth, chart_of((row for row in minutes if row.queue == depth.name), now), depth.name in left)
        for depth in depths
    ]


def read(engine: Engine) -> Overview:
    """All of it."""
    now = engine.now()
    depths, count = depths_of(engine)
    minutes = engine.figures.by_minute(HOUR)
    workers = engine.workers()
    return Overview(
        lines_of(depths, minutes, workers, now),
        count,
        chart_of(minutes, now),
        workers,
        engine.figures.page(RUNNING, MOST_RUNNING).records,
        list(_warnings(engine, depths, workers)),
        now,
    )


def _warnings(engine: Engine, depths: Sequence[QueueDepth], workers: Sequence[WorkerRow]) -> Iterator[str]:
    available = sum(depth.available or 0 for depth in depths)
    if not any(worker.alive for worker in workers):
        yield "No worker is at work" + (f", and {available:,} jobs wait." if available else ".")
    else:
        for name in unserved(depths, workers):
            yield f"No worker serves queue {name}, and jobs wait there."
    paused = [depth.name for depth in depths if depth.paused]
    if paused:
        yield f"Paused: {', '.join(paused)}. Nothing is claimed from there."
    now = engine.now()
    late = [
        row
        for row in engine.schedules.page("", SCHEDULES)
        if not row.paused and row.retired_at is None and row.due < now - LATE
    ]
    if late:
        yield f"Late schedules: {', '.join(row.name for row in late[:3])}{', …' if len(late) > 3 else ''}."
