"""What metrics show of a pool's books: one table for all sinks with metrics, so that none lacks what another has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple

from steadypool.model.queue_depth import LimitCount, QueueDepth
from steadypool.model.reports import PoolStats
from steadypool.model.states import PoolState
from steadypool.sinks.metrics import QueueSources, T


@dataclass(frozen=True)
class Figure(Generic[T]):
    """One number of a pool, or of a named queue, read when it is asked for."""

    prometheus: str
    """What it is called there, after ``steadypool_``; counters without ``_total``."""
    opentelemetry: str
    """What it is called there, after ``steadypool.``."""
    unit: str
    """In the notation of UCUM: ``s`` for seconds, braces for what is merely counted."""
    text: str
    value: Callable[[T], float | None]
    """``None``: not known."""
    join: Callable[[Iterable[float]], float] = sum
    """What is shown of several of one name."""

    def of(self, books: Iterable[T]) -> float | None:
        """The number for those of one name; ``None`` if it is known of none of them."""
        found = [one for one in map(self.value, books) if one is not None]
        return self.join(found) if found else None


JOB, WORKER, SECONDS = "{job}", "{worker}", "s"

GAUGES: Sequence[Figure[PoolStats]] = (
    Figure("pool_open", "pool.open", "{pool}", "Pools that take jobs.", lambda s: s.state is PoolState.OPEN),
    Figure("jobs_waiting", "jobs.waiting", JOB, "Jobs that wait for a worker.", lambda s: s.waiting),
    Figure(
        "oldest_waiting_seconds",
        "job.oldest_waiting",
        SECONDS,
        "For how long the oldest of them has waited.",
        lambda s: s.oldest_waiting,
        max,
    ),
    Figure("jobs_running", "jobs.running", JOB, "Jobs that run.", lambda s: s.running),
    Figure("jobs_retrying", "jobs.retrying", JOB, "Jobs between two attempts.", lambda s: s.retrying),
    Figure("queue_size", "queue.size", JOB, "How many jobs may wait.", lambda s: s.queue_size),
    Figure("workers", "workers", WORKER, "Workers alive, the stuck ones not counted.", lambda s: s.workers),
    Figure("workers_max", "workers.max", WORKER, "How many there may be.", lambda s: s.max_workers),
    Figure(
        "workers_stuck", "workers.stuck", WORKER, "Workers left behind with a job that did not stop.", lambda s: s.stuck
    ),
    Figure("capacity", "capacity", JOB, "How many jobs can run at a time.", lambda s: s.capacity),
    Figure(
        "drain_estimate_seconds",
        "drain_estimate",
        SECONDS,
        "How long a drain would take from now.",
        lambda s: s.drain_estimate,
        max,
    ),
)


QUEUE_GAUGES: Sequence[Figure[QueueDepth]] = (
    Figure("queue_answers", "queue.answers", "{queue}", "1 while the store tells of it.", lambda d: d.answers),
    Figure("queue_paused", "queue.paused", "{queue}", "1 while it is paused.", lambda d: d.paused),
    Figure("queue_available", "queue.available", JOB, "Durable jobs that may run.", lambda d: d.available),
    Figure(
        "queue_oldest_seconds",
        "queue.oldest",
        SECONDS,
        "Since the oldest available one was enqueued.",
        lambda d: d.oldest_available,
    ),
    Figure("queue_scheduled", "queue.scheduled", JOB, "Durable jobs for later.", lambda d: d.scheduled),
    Figure("queue_waiting", "queue.waiting", JOB, "Those that wait for others.", lambda d: d.waiting),
    Figure("queue_retryable", "queue.retryable", JOB, "Those that are retried later.", lambda d: d.retryable),
    Figure("queue_running", "queue.running", JOB, "Those that run, on any worker.", lambda d: d.running),
    Figure("queue_discarded", "queue.discarded", JOB, "Those that were given up.", lambda d: d.discarded),
)
LIMIT_GAUGES: Sequence[Figure[LimitCount]] = (
    Figure("limit_running", "limit.running", JOB, "Durable jobs under a limit that run.", lambda c: c.running),
    Figure("limit_waiting", "limit.waiting", JOB, "Available ones that have to pass it.", lambda c: c.waiting),
)


class Tally(NamedTuple):
    """What the workers of durable queues have counted by queue, task, and a third label."""

    prometheus: str
    opentelemetry: str
    unit: str
    text: str
    label: str
    """The third one, in Prometheus."""
    attribute: str
    """The same in OpenTelemetry."""
    read: Callable[[QueueSources], Mapping[tuple[str, str, str], int]]


TALLIES = (
    Tally(
        "attempts_failed",
        "attempts.failed",
        "{attempt}",
        "Attempts of durable jobs that failed here.",
        "next",
        "steadypool.next",
        QueueSources.failures,
    ),
    Tally(
        "schedule_ticks",
        "schedule.ticks",
        "{tick}",
        "Ticks of schedules that this worker has seen to.",
        "outcome",
        "steadypool.schedule.outcome",
        QueueSources.ticks,
    ),
)

COUNTERS: Sequence[Figure[PoolStats]] = (
    Figure(
        "worker_restarts",
        "worker.restarts",
        WORKER,
        "Worker processes started in the place of one that died or was killed.",
        lambda s: s.restarts,
    ),
    Figure("sink_errors", "sink.errors", "{error}", "Exceptions that sinks raised.", lambda s: s.sink_errors),
)
