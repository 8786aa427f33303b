"""Events and books as Prometheus metrics. Needs ``prometheus-client`` (the extra ``prometheus``).

Two sources. What happens is counted from events, by task. What is (queue depth, workers, ...) is read from the books
of each pool when Prometheus asks, so that nothing has to be kept up to date in between.

Labels are bounded: the first tasks and pools that come get a label each, all others share ``other``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from steadypool.model import events
from steadypool.model.events import Event
from steadypool.model.options import check_count
from steadypool.model.sink_protocols import Watched, WatchedQueues
from steadypool.model.states import Outcome
from steadypool.sinks.labels import BoundedNames
from steadypool.sinks.pool_metrics import COUNTERS, FAILURES, GAUGES, QUEUE_GAUGES
from steadypool.sinks.watched_pools import WatchedPools
from steadypool.sinks.watched_queues import QueueSources

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds, in seconds, of the histograms: from quick requests to half an hour."""


class PrometheusSink:
    """Metrics of the pools that it is subscribed to: ``pool.subscribe(PrometheusSink())``.

    One sink may serve any number of pools, and a second sink on the same registry joins the metrics of the first.

    Args:
        registry: where the metrics are registered; by default ``prometheus_client.REGISTRY``.
        max_tasks: so many tasks have a label of their own; the others share ``other``.
        buckets: upper bounds of the histograms, in seconds.

    Raises:
        ValueError: the registry's metrics were made with other *max_tasks* or *buckets*.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, max_tasks: int = 100, buckets: Sequence[float] = BUCKETS
    ) -> None:
        check_count("max_tasks", max_tasks)
        self._metrics = _metrics_on(REGISTRY if registry is None else registry, max_tasks, tuple(buckets))
        self._take: dict[type[Event], Callable[[Any], None]] = {
            events.JobSubmitted: self._submitted,
            events.JobStarted: self._started,
            events.JobRetryScheduled: self._retrying,
            events.JobStuck: self._stuck,
            events.JobRejected: self._rejected,
            events.WorkerEnded: self._worker_ended,
            **dict.fromkeys(events.ENDINGS.values(), self._ended),
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        take = self._take.get(type(event))
        if take is not None:
            take(event)

    def watch(self, pool: Watched) -> None:
        """See `Watcher`."""
        self._metrics.pools.add(pool)

    def unwatch(self, pool: Watched) -> None:
        """See `Watcher`."""
        self._metrics.pools.discard(pool)

    def watch_queues(self, source: WatchedQueues) -> None:
        """See `QueueWatcher`."""
        self._metrics.queues.add(source)

    def unwatch_queues(self, source: WatchedQueues) -> None:
        """See `QueueWatcher`."""
        self._metrics.queues.discard(source)

    def _submitted(self, event: events.JobSubmitted) -> None:
        self._metrics.of(event.pool, event.task).accepted.inc()

    def _started(self, event: events.JobStarted) -> None:
        if event.attempt == 1:
            self._metrics.of(event.pool, event.task).waited.observe(event.waited)

    def _retrying(self, event: events.JobRetryScheduled) -> None:
        metrics = self._metrics.of(event.pool, event.task)
        metrics.retries.inc()
        metrics.ran.observe(event.ran)

    def _stuck(self, event: events.JobStuck) -> None:
        self._metrics.of(event.pool, event.task).stuck.inc()

    def _ended(self, event: events.JobEnded) -> None:
        metrics = self._metrics.of(event.pool, event.task)
        metrics.ended[event.outcome].inc()
        if event.attempt:
            metrics.ran.observe(event.ran)

    def _rejected(self, event: events.JobRejected) -> None:
        self._metrics.of(event.pool, event.task).rejected.inc()

    def _worker_ended(self, event: events.WorkerEnded) -> None:
        if event.reason == "killed":
            self._metrics.kills.labels(self._metrics.pools.label(event.pool)).inc()


class _TaskMetrics:
    """The counters of one task in one pool, looked up once."""

    __slots__ = ("accepted", "ended", "ran", "rejected", "retries", "stuck", "waited")

    def __init__(self, metrics: _Metrics, pool: str, task: str) -> None:
        self.accepted = metrics.accepted.labels(pool, task)
        self.rejected = metrics.rejected.labels(pool, task)
        self.retries = metrics.retries.labels(pool, task)
        self.stuck = metrics.stuck.labels(pool, task)
        self.ended = {outcome: metrics.ended.labels(pool, task, outcome.value) for outcome in Outcome}
        self.waited = metrics.waited.labels(pool, task)
        self.ran = metrics.ran.labels(pool, task)


class _Metrics:
    """All metrics on one registry."""

    def __init__(self, registry: CollectorRegistry, max_tasks: int, buckets: tuple[float, ...]) -> None:
        self.made_with = max_tasks, buckets
        self.pools = WatchedPools()
        self._task_label = BoundedNames(max_tasks)
        self.queues = QueueSources(self._task_label)
        self._known: dict[tuple[str, str], _TaskMetrics] = {}
        by_task = ("pool", "task")
        name = "steadypool_{}".format
        self.accepted = Counter(name("jobs_accepted"), "Jobs that the pool took on.", by_task, registry=registry)
        self.rejected = Counter(
            name("jobs_rejected"), "Jobs refused because the queue was full.", by_task, registry=registry
        )
        self.retries = Counter(
            name("job_retries"), "Attempts that failed and were followed by another.", by_task, registry=registry
        )
        self.stuck = Counter(name("jobs_stuck"), "Jobs that did not stop when told.", by_task, registry=registry)
        self.ended = Counter(
            name("jobs_ended"), "Jobs that have ended, by outcome.", (*by_task, "outcome"), registry=registry
        )
        self.waited = Histogram(
            name("job_wait_seconds"), "From the submit to the first start.", by_task, buckets=buckets, registry=registry
        )
        self.ran = Histogram(
            name("job_run_seconds"), "How long each attempt ran.", by_task, buckets=buckets, registry=registry
        )
        self.kills = Counter(
            name("worker_kills"), "Worker processes that the pool killed.", ("pool",), registry=registry
        )
        registry.register(_Books(self.pools))
        registry.register(_Queues(self.queues))

    def of(self, pool: str, task: str) -> _TaskMetrics:
        """The metrics of one task in one pool."""
        key = self.pools.label(pool), self._task_label(task)
        known = self._known.get(key)
        return known if known is not None else self._known.setdefault(key, _TaskMetrics(self, *key))


_made: weakref.WeakKeyDictionary[CollectorRegistry, _Metrics] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _metrics_on(registry: CollectorRegistry, max_tasks: int, buckets: tuple[float, ...]) -> _Metrics:
    with _making:
        metrics = _made.get(registry)
        if metrics is None:
            metrics = _made[registry] = _Metrics(registry, max_tasks, buckets)
    if metrics.made_with != (max_tasks, buckets):
        raise ValueError(
            "this registry has metrics of another PrometheusSink already, made with other max_tasks or buckets: "
            "use the same, or a CollectorRegistry of its own"
        )
    return metrics


class _Books(Collector):
    """What is read from the pools' books when somebody asks."""

    def __init__(self, pools: WatchedPools) -> None:
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Called by the registry."""
        books = self._pools.books()
        for figures, family in ((GAUGES, GaugeMetricFamily), (COUNTERS, CounterMetricFamily)):
            for figure in figures:
                metric = family(f"steadypool_{figure.prometheus}", figure.text, labels=("pool",))
                for pool, stats in books.items():
                    value = figure.of(stats)
                    if value is not None:
                        metric.add_metric((pool,), value)
                yield metric


class _Queues(Collector):
    """What is read of durable queues when somebody asks."""

    def __init__(self, queues: QueueSources) -> None:
        self._queues = queues

    def describe(self) -> tuple[()]:
        """Of nothing: to register must not look at the store."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Called by the registry."""
        depths = self._queues.depths()
        for figure in QUEUE_GAUGES:
            gauge = GaugeMetricFamily(f"steadypool_{figure.prometheus}", figure.text, labels=("queue",))
            for queue, depth in depths.items():
                value = figure.value(depth)
                if value is not None:
                    gauge.add_metric((queue,), value)
            yield gauge
        counter = CounterMetricFamily(
            f"steadypool_{FAILURES.prometheus}", FAILURES.text, labels=("queue", "task", "next")
        )
        for labels, count in self._queues.failures().items():
            counter.add_metric(labels, count)
        yield counter
