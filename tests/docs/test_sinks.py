"""What the pages on sinks and alerts say of metrics and attributes is so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from steadypool import Retry, ThreadPool, task
from steadypool.model import events
from steadypool.model.queue_depth import LimitCount, QueueDepth
from steadypool.model.states import Outcome
from steadypool.sinks import opentelemetry
from steadypool.sinks.prometheus import PrometheusSink
from tests.docs.pages import names_in, page
from tests.pools.contract import jobs


def exposed() -> dict[str, tuple[str, set[str]]]:
    """Every metric: its kind, and its labels."""
    registry = CollectorRegistry()
    with everything_has_happened(PrometheusSink(registry)):
        found = {}
        for family in registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = family.type, labels
    return found


@contextmanager
def everything_has_happened(sink: Any) -> Iterator[None]:
    """A pool, of which *sink* was told each thing that a metric counts."""
    source = Source()
    with ThreadPool(1) as pool:
        pool.subscribe(sink)
        sink.watch_queues(source)
        pool.submit(task(jobs.fail, retry=Retry(2, backoff=0))).exception()
        pool._core.emitter.emit(events.WorkerEnded(pool.name, 0.0, "w", "killed"))
        pool._core.emitter.emit(events.JobRejected(pool.name, 0.0, "t"))
        pool._core.emitter.emit(events.JobStuck(pool.name, 0.0, "id", "t", 1, None, "here"))
        yield


class Source:
    """What a worker of a durable queue says of it."""

    def depths(self) -> list[QueueDepth]:
        return [QueueDepth("mail", True, False, 1, 2.0, 3, 4, 5, 6, 7)]

    def failures(self) -> dict[tuple[str, str, str], int]:
        return {("mail", "send", "retry"): 1}

    def limits(self) -> list[LimitCount]:
        return [LimitCount("stripe", 1, 2)]

    def ticks(self) -> dict[tuple[str, str, str], int]:
        return {("mail", "send", "fired"): 1}


def test_every_metric_of_opentelemetry_is_in_the_docs_and_none_of_prometheus_is_missing() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    with everything_has_happened(opentelemetry.OpenTelemetrySink(None, meters)):
        data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]
    meters.shutdown()
    known = {f"messaging.{name}" for name in ("system", "operation.name", "operation.type", "destination.name")}
    found = {}
    for metric in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]:
        points = metric["data"]["data_points"]
        kind = "counter" if "is_monotonic" in metric["data"] else "gauge"
        kind = "histogram" if "bucket_counts" in points[0] else kind
        attributes = {name for point in points for name in point["attributes"]}
        by_name = set() if "steadypool.limit" in attributes else {"messaging.destination.name"}
        assert attributes & known == (known if "steadypool.task" in attributes else by_name)
        found[metric["name"]] = kind, metric["unit"], attributes - known
    rows = page("sinks").table("opentelemetry-metrics")
    said = {names_in(name)[0]: (kind, unit.strip("`"), set(names_in(more))) for name, kind, unit, more, _ in rows}
    assert said == found
    assert {names_in(same)[0] for *_, same in rows} == set(exposed())


def test_every_metric_is_in_the_docs() -> None:
    said = {
        names_in(name)[0]: (kind, set(names_in(labels))) for name, kind, labels, _ in page("sinks").table("metrics")
    }
    assert said == exposed()


def test_alerts_name_metrics_that_exist() -> None:
    names = {name.removesuffix("_bucket") for name in re.findall(r"steadypool_\w+", page("alerts").text)}
    assert names <= set(exposed()) and len(names) > 10


SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def alerts() -> list[tuple[str, str]]:
    """What each alert is called, and its expression."""
    rows = [row for table in page("alerts").tables("alerts") for row in table]
    return [(row[0], names_in(row[1])[0].replace("\\|", "|")) for row in rows]


@pytest.mark.parametrize(("name", "expression"), alerts())
def test_an_alert_can_be_used_as_it_stands(name: str, expression: str) -> None:
    promql = pytest.importorskip("promql_parser")
    series = {
        f"{metric}{ending}": (kind, labels | ({"le"} if ending == "_bucket" else set()))
        for metric, (kind, labels) in exposed().items()
        for ending in SERIES[kind]
    }
    parts: list[Any] = []
    promql.walk(promql.parse(expression), parts.append)
    of = {type(part).__name__: [p for p in parts if type(p) is type(part)] for part in parts}
    known: set[str] = set()
    for selector in of["VectorSelector"]:
        _, labels = series[selector.name]
        known |= labels
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels
            if matcher.name == "outcome":
                assert set(matcher.value.split("|")) <= set(Outcome)
    for aggregate in of.get("AggregateExpr", []):
        assert set(aggregate.modifier.labels) <= known
    for range_ in of.get("MatrixSelector", []):
        assert range_.vector_selector.name.endswith(("_total", "_bucket")), "a rate is taken of what only grows"
    for selector in of["VectorSelector"]:
        ranged = any(range_.vector_selector.name == selector.name for range_ in of.get("MatrixSelector", []))
        assert ranged or series[selector.name][0] == "gauge", "a counter says nothing by itself"


def test_attributes_and_metrics_of_opentelemetry() -> None:
    text = page("sinks").text
    source = Path(opentelemetry.__file__).read_text(encoding="utf-8")
    for name in set(re.findall(r'"((?:steadypool|messaging|code|error)\.[\w.]+)"', source)) - {
        "steadypool.cause", "steadypool.done", "steadypool.total"
    }:  # fmt: skip
        assert f"`{name}`" in text, name
