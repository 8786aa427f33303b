"""Events as OpenTelemetry spans and metrics. Needs ``opentelemetry-api`` (the extra ``opentelemetry``).

A pool is to OpenTelemetry what a queue is, a job a message, and an attempt its processing: names follow the semantic
conventions for messaging, and what they have no name for begins with ``steadypool.``.

Spans
-----
One for each attempt, a child of the span in which the job was submitted. On threads and asyncio `JobStarted` comes in
the job's own context: the span that is made current there is the parent of what the job itself traces. In a
`ProcessPool` the span begins when the attempt is sent to its worker, and its identity travels along (`carry`): what
code in the worker traces, with whatever it has set up there, hangs below it. Code that reads the current span in the
worker finds one that does not record; the span itself belongs to the parent process, so that it ends even if the
worker dies.

A span is found again by pool, job id and attempt, so ids that are given by hand should differ among running jobs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Lock
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from steadypool.model import events
from steadypool.model.checks import check_count
from steadypool.model.error_text import in_a_line, type_name
from steadypool.model.events import Event, JobEvent
from steadypool.model.printable import printable
from steadypool.model.states import Outcome
from steadypool.sinks.metrics import BoundedNames, MetricsSink, QueueSources, T, WatchedPools
from steadypool.sinks.pool_metrics import COUNTERS, GAUGES, LIMIT_GAUGES, QUEUE_GAUGES, TALLIES, Figure, Tally

SCOPE = "steadypool"
MOST_SPANS = 100_000
"""Spans that are kept until their attempt ends. Beyond it the oldest are given up: the sink was unsubscribed."""

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
MESSAGE_ID = "messaging.message.id"
FUNCTION = "code.function.name"
ERROR_TYPE = "error.type"
TASK = "steadypool.task"
ATTEMPT = "steadypool.job.attempt"
OUTCOME = "steadypool.job.outcome"
WAITED = "steadypool.job.waited"
WORKER = "steadypool.worker"
LIMIT = "steadypool.limit"

_ERRORS = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED})
_Key = tuple[str, str, int]


class OpenTelemetrySink(MetricsSink):
    """A span for each attempt of a job, and metrics, of the pools that it is subscribed to.

    Args:
        tracer_provider: where spans go; by default the global one, as it is when an attempt starts.
        meter_provider: where metrics go; by default the global one.
        max_tasks: so many tasks have metrics of their own; the others share ``other``. (Spans name every task.)
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        max_tasks: int = 100,
    ) -> None:
        check_count("max_tasks", max_tasks)
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._spans = _Spans()
        self._metrics = _Metrics(meter_provider, BoundedNames(max_tasks))
        take: dict[type[Event], Callable[[Any], None]] = {
            events.JobSubmitted: self._metrics.submitted,
            events.JobRejected: self._metrics.rejected,
            events.JobStarted: self._started,
            events.JobRetryScheduled: self._retrying,
            events.JobStopRequested: self._told,
            events.JobStuck: self._metrics.stuck,
            events.JobProgressed: self._progressed,
            events.WorkerEnded: self._metrics.worker_ended,
            **dict.fromkeys(events.ENDINGS.values(), self._ended),
        }
        super().__init__(take, self._metrics.pools, self._metrics.queues)

    def carry(self, job: JobEvent) -> Callable[[], object]:
        """See `ContextCarrier`: the attempt's span goes with it to the worker process."""
        span = self._begin(job)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        return partial(attach, carrier)

    def _begin(self, job: JobEvent) -> Span:
        """A span for the attempt, below the current one."""
        attributes: dict[str, str | int] = {
            **_facts_of(printable(job.pool)),
            MESSAGE_ID: printable(job.job_id),
            FUNCTION: (task := printable(job.task)),
            ATTEMPT: job.attempt,
        }
        span = self._tracer.start_span(f"process {task}", kind=SpanKind.CONSUMER, attributes=attributes)
        self._spans.put(_key(job), span)
        return span

    def _started(self, event: events.JobStarted) -> None:
        self._metrics.started(event)
        span = self._spans.get(_key(event))
        if span is None:
            span = self._begin(event)
            # For the job, in whose context this is called. It ends with the attempt, and takes this along.
            otel_context.attach(trace.set_span_in_context(span))
        span.set_attributes({WORKER: printable(event.worker), WAITED: event.waited})

    def _told(self, event: events.JobStopRequested) -> None:
        span = self._spans.get(_key(event))
        if span is not None:
            span.add_event("asked to stop", {"steadypool.cause": event.cause})

    def _progressed(self, event: events.JobProgressed) -> None:
        span = self._spans.get(_key(event))
        if span is not None:
            total = {} if event.total is None else {"steadypool.total": event.total}
            span.add_event("progress", {"steadypool.done": event.done, **total})

    def _retrying(self, event: events.JobRetryScheduled) -> None:
        self._metrics.retrying(event)
        span = self._spans.take(_key(event))
        if span is not None:
            span.set_attribute(OUTCOME, "retried")
            _end_with(span, event.error)

    def _ended(self, event: events.JobEnded) -> None:
        self._metrics.ended(event)
        # What was sent along for an attempt that was taken back before it began.
        self._spans.take((event.pool, event.job_id, event.attempt + 1))
        span = self._spans.take(_key(event))
        if span is None:
            return  # it never started, or had begun before this sink was there
        span.set_attribute(OUTCOME, event.outcome.value)
        _end_with(span, event.error if event.outcome in _ERRORS else None)


def attach(carrier: dict[str, str]) -> None:
    """In a worker process: make what came with the job current in its context."""
    otel_context.attach(propagate.extract(carrier))


def _end_with(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute(ERROR_TYPE, type_name(error))
        span.set_status(Status(StatusCode.ERROR, printable(in_a_line(error))))
        try:
            span.record_exception(error)
        finally:
            span.end()  # whatever the exception's own methods do
    else:
        span.end()


def _key(event: JobEvent) -> _Key:
    return event.pool, event.job_id, event.attempt


def _facts_of(pool: str) -> dict[str, str]:
    return {SYSTEM: "steadypool", OPERATION_NAME: "process", OPERATION_TYPE: "process", DESTINATION: pool}


class _Spans:
    """The spans of attempts that have not ended. Any thread may call any method."""

    def __init__(self) -> None:
        self._spans: OrderedDict[_Key, Span] = OrderedDict()
        self._lock = Lock()

    def put(self, key: _Key, span: Span) -> None:
        """Keep it until it is taken. One for an attempt that was taken back before it began is dropped, unended."""
        with self._lock:
            self._spans[key] = span
            if len(self._spans) > MOST_SPANS:
                self._spans.popitem(last=False)

    def get(self, key: _Key) -> Span | None:
        """The span, if there is one."""
        return self._spans.get(key)

    def take(self, key: _Key) -> Span | None:
        """The span, which is about to end."""
        with self._lock:
            return self._spans.pop(key, None)


class _Metrics:
    """What is counted and measured, by task."""

    def __init__(self, provider: MeterProvider | None, names: BoundedNames) -> None:
        meter = get_meter(SCOPE, meter_provider=provider)
        self._names = names
        self._accepted = meter.create_counter("steadypool.jobs.accepted", "{job}", "Jobs that the pool took on.")
        self._rejected = meter.create_counter("steadypool.jobs.rejected", "{job}", "Jobs refused for want of room.")
        self._ended = meter.create_counter("steadypool.jobs.ended", "{job}", "Jobs that have ended, by outcome.")
        self._retries = meter.create_counter("steadypool.job.retries", "{attempt}", "Failed attempts before another.")
        self._stuck = meter.create_counter("steadypool.jobs.stuck", "{job}", "Jobs that did not stop when told.")
        self._waited = meter.create_histogram("steadypool.job.wait", "s", "From the submit to the first start.")
        self._ran = meter.create_histogram("messaging.process.duration", "s", "How long an attempt ran.")
        self._kills = meter.create_counter("steadypool.worker.kills", "{worker}", "Worker processes that were killed.")
        self.pools = WatchedPools()
        self.queues = QueueSources(names)
        gauge, counter = meter.create_observable_gauge, meter.create_observable_counter
        for figure in GAUGES:
            _show(gauge, figure, partial(_observe, self.pools.books, figure))
        for figure in COUNTERS:
            _show(counter, figure, partial(_observe, self.pools.books, figure))
        for depth in QUEUE_GAUGES:
            _show(gauge, depth, partial(_observe, self.queues.depths, depth))
        for count in LIMIT_GAUGES:
            _show(gauge, count, partial(_observe, self.queues.limits, count, label=LIMIT))
        for tally in TALLIES:
            _show(counter, tally, partial(_observe_tally, self.queues, tally))

    def _attributes(self, pool: str, task: str) -> dict[str, str]:
        return {**_facts_of(self.pools.label(pool)), TASK: self._names(task)}

    def submitted(self, event: events.JobSubmitted) -> None:
        self._accepted.add(1, self._attributes(event.pool, event.task))

    def rejected(self, event: events.JobRejected) -> None:
        self._rejected.add(1, self._attributes(event.pool, event.task))

    def started(self, event: events.JobStarted) -> None:
        if event.attempt == 1:
            self._waited.record(event.waited, self._attributes(event.pool, event.task))

    def retrying(self, event: events.JobRetryScheduled) -> None:
        attributes = self._attributes(event.pool, event.task)
        self._retries.add(1, attributes)
        self._ran.record(event.ran, {**attributes, ERROR_TYPE: type_name(event.error)})

    def ended(self, event: events.JobEnded) -> None:
        attributes = self._attributes(event.pool, event.task)
        self._ended.add(1, {**attributes, OUTCOME: event.outcome.value})
        if event.attempt:
            if event.error is not None and event.outcome in _ERRORS:
                attributes[ERROR_TYPE] = type_name(event.error)
            self._ran.record(event.ran, attributes)

    def stuck(self, event: events.JobStuck) -> None:
        self._stuck.add(1, self._attributes(event.pool, event.task))

    def worker_ended(self, event: events.WorkerEnded) -> None:
        if event.reason == "killed":
            self._kills.add(1, {DESTINATION: self.pools.label(event.pool)})


def _show(create: Callable[..., object], figure: Figure[T] | Tally, look: Callable[..., Iterable[Observation]]) -> None:
    create(f"{SCOPE}.{figure.opentelemetry}", [look], figure.unit, figure.text)


def _observe(
    rows: Callable[[], Mapping[str, Iterable[T]]],
    figure: Figure[T],
    options: CallbackOptions,
    *,
    label: str = DESTINATION,
) -> Iterable[Observation]:
    """One number of each pool, named queue or limit. Called when metrics are collected."""
    for name, row in rows().items():
        if (value := figure.of(row)) is not None:
            yield Observation(value, {label: name})


def _observe_tally(queues: QueueSources, tally: Tally, options: CallbackOptions) -> Iterable[Observation]:
    for (queue, task, third), count in tally.read(queues).items():
        yield Observation(count, {**_facts_of(queue), TASK: task, tally.attribute: third})
