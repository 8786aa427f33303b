"""Jobs that look at the current span, and trace something of their own."""

from __future__ import annotations

from typing import Any

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def current(fails: bool = False) -> tuple[int, int, Any]:
    """Trace and span id of the span that is current, and what the submitter's baggage holds."""
    if fails:
        raise ValueError("told to fail")
    context = trace.get_current_span().get_span_context()
    return context.trace_id, context.span_id, baggage.get_baggage("tenant")


def trace_something() -> tuple[str, int, int | None]:
    """Trace it with a provider of one's own, as code in a worker process would; returns name, trace and parent."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("own").start_as_current_span("inner"):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    return span.name, span.context.trace_id, span.parent.span_id if span.parent is not None else None
