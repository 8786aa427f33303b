"""Events and books as Prometheus metrics. Needs ``prometheus-client`` (the extra ``prometheus``).

Two sources. What happens is counted from events, by task. What is (queue depth, workers, ...) is read from the books
of each pool when Prometheus asks, so that nothing has to be kept up to date in between.

Labels are bounded: the first tasks and pools that come get a label each, all others share ``other``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from steadypool.model import events
from steadypool.model.checks import check_count
from steadypool.model.events import Event
from steadypool.model.states import Outcome
from steadypool.sinks.metrics import BoundedNames, MetricsSink, QueueSources, T, WatchedPools
from steadypool.sinks.pool_metrics import COUNTERS, GAUGES, LIMIT_GAUGES, QUEUE_GAUGES, TALLIES, Figure

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds, in seconds, of the histograms: from quick requests to half an hour."""


class PrometheusSink(MetricsSink):
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
        self._metrics = metrics = _metrics_on(REGISTRY if registry is None else registry, max_tasks, tuple(buckets))
        take: dict[type[Event], Callable[[Any], None]] = {
            events.JobSubmitted: self._submitted,
            events.JobStarted: self._started,
            events.JobRetryScheduled: self._retrying,
            events.JobStuck: self._stuck,
            events.JobRejected: self._rejected,
            events.WorkerEnded: self._worker_ended,
            **dict.fromkeys(events.ENDINGS.values(), self._ended),
        }
        super().__init__(take, metrics.pools, metrics.queues)

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

        def counter(name: str, text: str, labels: Sequence[str] = by_task) -> Counter:
            return Counter(f"steadypool_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"steadypool_{name}", text, by_task, buckets=buckets, registry=registry)

        self.accepted = counter("jobs_accepted", "Jobs that the pool took on.")
        self.rejected = counter("jobs_rejected", "Jobs refused because the queue was full.")
        self.retries = counter("job_retries", "Attempts that failed and were followed by another.")
        self.stuck = counter("jobs_stuck", "Jobs that did not stop when told.")
        self.ended = counter("jobs_ended", "Jobs that have ended, by outcome.", (*by_task, "outcome"))
        self.waited = histogram("job_wait_seconds", "From the submit to the first start.")
        self.ran = histogram("job_run_seconds", "How long each attempt ran.")
        self.kills = counter("worker_kills", "Worker processes that the pool killed.", ("pool",))
        registry.register(_Figures(self.pools, self.queues))

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


class _Figures(Collector):
    """What is read from the books of pools, and of durable queues, when it is asked for."""

    def __init__(self, pools: WatchedPools, queues: QueueSources) -> None:
        self._pools = pools
        self._queues = queues

    def describe(self) -> Iterator[Metric]:
        """Their names: to register must not look at a store."""
        return _families(WatchedPools(), QueueSources(BoundedNames(0)))

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        return _families(self._pools, self._queues)


def _families(pools: WatchedPools, queues: QueueSources) -> Iterator[Metric]:
    books = pools.books()
    yield from _family(GaugeMetricFamily, GAUGES, "pool", books)
    yield from _family(CounterMetricFamily, COUNTERS, "pool", books)
    yield from _family(GaugeMetricFamily, QUEUE_GAUGES, "queue", queues.depths())
    yield from _family(GaugeMetricFamily, LIMIT_GAUGES, "limit", queues.limits())
    for tally in TALLIES:
        counter = CounterMetricFamily(
            f"steadypool_{tally.prometheus}", tally.text, labels=("queue", "task", tally.label)
        )
        for values, count in tally.read(queues).items():
            counter.add_metric(values, count)
        yield counter


def _family(
    make: type[GaugeMetricFamily | CounterMetricFamily],
    figures: Sequence[Figure[T]],
    label: str,
    rows: Mapping[str, Iterable[T]],
) -> Iterator[Metric]:
    for figure in figures:
        family = make(f"steadypool_{figure.prometheus}", figure.text, labels=(label,))
        for name, row in rows.items():
            if (value := figure.of(row)) is not None:
                family.add_metric((name,), value)
        yield family
