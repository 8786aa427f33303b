"""Spans and metrics, by OpenTelemetry's own SDK and its in-memory exporters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from steadypool import AsyncPool, ProcessPool, Retry, ThreadPool, task
from steadypool.model import events
from steadypool.sinks.opentelemetry import OpenTelemetrySink
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes.deeds import leave
from tests.sinks.traced import current, trace_something


class Telemetry:
    """A provider of each kind, with what they export."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self._reader])
        self.tracer: Tracer = self.tracers.get_tracer("test")

    def sink(self, **options: Any) -> OpenTelemetrySink:
        return OpenTelemetrySink(self.tracers, self.meters, **options)

    def spans(self) -> list[Any]:
        """The finished spans of attempts."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("process ")]

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        assert data is not None
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return [
            p for scope in scopes for metric in scope.metrics if metric.name == name for p in metric.data.data_points
        ]

    def close(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


def test_an_attempt_is_a_child_of_the_submitters_span(kind: Kind, pool: Any, telemetry: Telemetry) -> None:
    pool.subscribe(telemetry.sink())
    # What a loop in another thread gets from here is this thread's business: see the test of the pool on asyncio.
    submitter = None
    if kind.name == "asyncio":
        trace_id, span_id, _ = pool.submit(task(current, id="a", name="look"), False).result(WAIT)
    else:
        token = context.attach(baggage.set_baggage("tenant", "t-1"))
        with telemetry.tracer.start_as_current_span("request") as span:
            submitter = span.get_span_context()
            trace_id, span_id, tenant = pool.submit(task(current, id="a", name="look"), False).result(WAIT)
        context.detach(token)
        assert tenant == "t-1" and trace_id == submitter.trace_id
    pool.drain(WAIT)
    (span,) = telemetry.spans()
    assert (span.context.trace_id, span.context.span_id) == (trace_id, span_id)
    assert (span.parent and span.parent.span_id) == (submitter and submitter.span_id)
    assert (span.name, span.kind, span.status.status_code) == ("process look", SpanKind.CONSUMER, StatusCode.UNSET)
    facts = dict(span.attributes)
    assert facts.pop("steadypool.job.waited") >= 0 and facts.pop("steadypool.worker")
    assert facts == {
        "messaging.system": "steadypool",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": pool.name,
        "messaging.message.id": "a",
        "code.function.name": "look",
        "steadypool.job.attempt": 1,
        "steadypool.job.outcome": "succeeded",
    }


def test_what_a_job_traces_hangs_below_its_attempt(pool: Any, telemetry: Telemetry) -> None:
    pool.subscribe(telemetry.sink())
    name, trace_id, parent = pool.submit(trace_something).result(WAIT)
    pool.drain(WAIT)
    (span,) = telemetry.spans()
    assert (name, trace_id, parent) == ("inner", span.context.trace_id, span.context.span_id)


def test_one_job_s_span_is_not_the_next_one_s(pool: Any, telemetry: Telemetry) -> None:
    unsubscribe = pool.subscribe(telemetry.sink())
    ids = [pool.submit(current).result(WAIT)[1] for _ in range(4)]
    assert len(set(ids)) == 4 and 0 not in ids
    unsubscribe()
    assert pool.submit(current).result(WAIT)[:2] == (0, 0)


def test_every_attempt_has_a_span_and_failures_their_exception(pool: Any, telemetry: Telemetry, tmp_path: Any) -> None:
    pool.subscribe(telemetry.sink())
    with telemetry.tracer.start_as_current_span("request"):
        again = task(jobs.fail_until, id="again", retry=Retry(2, backoff=0))
        pool.submit(again, str(tmp_path / "notes"), 2).result(WAIT)
        pool.submit(task(jobs.fail_deep, id="bad"), 1).exception(WAIT)
    pool.drain(WAIT)
    first, second, bad = sorted(telemetry.spans(), key=lambda span: span.start_time)
    assert [span.attributes["steadypool.job.attempt"] for span in (first, second, bad)] == [1, 2, 1]
    outcomes = [span.attributes["steadypool.job.outcome"] for span in (first, second, bad)]
    assert outcomes == ["retried", "succeeded", "failed"]
    assert second.parent == first.parent, "they are siblings"
    assert bad.status.status_code is StatusCode.ERROR and bad.attributes["error.type"] == "ZeroDivisionError"
    (event,) = bad.events
    assert event.name == "exception" and "in fail_deep" in event.attributes["exception.stacktrace"]


def test_jobs_that_never_run_leave_no_span(make_pool: Callable[..., Any], telemetry: Telemetry, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    sink = telemetry.sink()
    pool.subscribe(sink)
    _, actor = stage.start(pool)
    pool.submit(jobs.nothing).cancel()
    for _ in range(3):
        pool.submit(jobs.nothing)
    actor.tell("obey")
    assert pool.drain(0).stats.returned == 3
    (span,) = telemetry.spans()
    assert span.attributes["steadypool.job.outcome"] == "interrupted"
    assert [event.name for event in span.events] == ["asked to stop"]
    assert not sink._spans._spans, "nothing is kept of what was taken back"


def test_a_worker_that_crashes_ends_its_span(telemetry: Telemetry) -> None:
    with ProcessPool(1) as pool:
        pool.subscribe(telemetry.sink())
        pool.submit(leave, 3).exception(WAIT)
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "steadypool.WorkerCrashed"
    assert span.attributes["steadypool.job.outcome"] == "crashed"


def test_metrics(make_pool: Callable[..., Any], telemetry: Telemetry, stage: Stage, tmp_path: Any) -> None:
    pool = make_pool(1, name="work")
    pool.subscribe(telemetry.sink(max_tasks=1))
    again = task(jobs.fail_until, name="a", retry=Retry(3, backoff=0))
    pool.submit(again, str(tmp_path / "calls"), 3).result(WAIT)
    (retries,) = telemetry.points("steadypool.job.retries")
    assert (retries.value, retries.attributes["steadypool.task"]) == (2, "a")
    pool.submit(task(jobs.fail, name="b")).exception(WAIT)
    _, actor = stage.start(pool)
    waiting = pool.submit(jobs.nothing)
    (gauge,) = telemetry.points("steadypool.jobs.waiting")
    assert (gauge.value, dict(gauge.attributes)) == (1, {"messaging.destination.name": "work"})
    assert telemetry.points("steadypool.drain_estimate")[0].value > 0
    actor.tell("return")
    waiting.result(WAIT)
    pool.drain(WAIT)
    ended = {(p.attributes["steadypool.task"], p.attributes["steadypool.job.outcome"]): p.value
             for p in telemetry.points("steadypool.jobs.ended")}  # fmt: skip
    assert ended == {("a", "succeeded"): 1, ("other", "failed"): 1, ("other", "succeeded"): 2}
    durations = telemetry.points("messaging.process.duration")
    (failed,) = [p for p in durations if p.attributes.get("error.type") == "ValueError"]
    assert failed.attributes["error.type"] == "ValueError" and failed.count == 1
    assert sum(p.count for p in durations) == 6
    assert sum(p.value for p in telemetry.points("steadypool.jobs.accepted")) == 4


def test_metrics_of_what_does_not_stop(
    kind: Kind, make_pool: Callable[..., Any], telemetry: Telemetry, stage: Stage
) -> None:
    pool = make_pool(1, cancel_grace=0.05, name="work")
    pool.subscribe(telemetry.sink())
    watch = Watch(pool)
    late = pool.submit(task(jobs.act, name="late", timeout=0.05), stage.address)
    late.exception(WAIT)  # not waited for on the stage: a process may be killed before it has come there
    if kind.kills:
        watch.wait_for(events.WorkerEnded)
        pool.drain(WAIT)
        names = ["steadypool.worker.kills", "steadypool.worker.restarts"]
    else:
        watch.wait_for(events.WorkerAbandoned)
        names = ["steadypool.workers.stuck", "steadypool.jobs.stuck"]
    for name in names:
        (point,) = telemetry.points(name)
        assert (point.value, point.attributes["messaging.destination.name"]) == (1, "work"), name


def test_without_an_sdk_it_does_nothing_and_no_harm() -> None:
    with ThreadPool(1) as pool:
        pool.subscribe(OpenTelemetrySink())
        assert pool.submit(current).result(WAIT)[:2] == (0, 0)
        assert pool.stats().sink_errors == 0


def test_on_asyncio_below_the_span_of_the_submitting_task(telemetry: Telemetry) -> None:
    async def look() -> Any:
        await asyncio.sleep(0)
        return current()

    async def main() -> tuple[Any, Any]:
        async with AsyncPool(2) as pool:
            pool.subscribe(telemetry.sink())
            with telemetry.tracer.start_as_current_span("request") as span:
                return span.get_span_context(), await pool.run(look)

    submitter, (trace_id, span_id, _) = asyncio.run(main())
    (span,) = telemetry.spans()
    assert isinstance(span, ReadableSpan) and span.parent is not None and span.context is not None
    assert span.parent.span_id == submitter.span_id
    assert (span.context.trace_id, span.context.span_id) == (trace_id, span_id)
