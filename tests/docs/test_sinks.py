"""What the pages on sinks and alerts say of metrics and attributes is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from steadypool import Retry, ThreadPool, task
from steadypool.machinery import arguments, run_times
from steadypool.observe import opentelemetry
from steadypool.observe.prometheus import PrometheusSink
from steadypool.observe.watched_pools import MOST_POOLS
from steadypool.pools.forecast import LOOK_AGAIN
from tests.contract import jobs
from tests.docs.pages import names_in, page


def exposed() -> dict[str, tuple[str, set[str]]]:
    """Every metric: its kind, and its labels."""
    registry = CollectorRegistry()
    with ThreadPool(1) as pool:
        pool.subscribe(PrometheusSink(registry))
        pool.submit(task(jobs.fail, retry=Retry(2, backoff=0))).exception()
        pool._core.emit(opentelemetry.events.WorkerEnded(pool.name, 0.0, "w", "killed"))
        found = {}
        for family in registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = family.type, labels
    return found


def test_every_metric_is_in_the_docs() -> None:
    said = {
        names_in(name)[0]: (kind, set(names_in(labels))) for name, kind, labels, _ in page("sinks").table("metrics")
    }
    assert said == exposed()


def test_alerts_name_metrics_that_exist() -> None:
    names = set(re.findall(r"steadypool_\w+", page("alerts").text))
    assert names <= set(exposed()) and len(names) > 10


def test_attributes_and_metrics_of_opentelemetry() -> None:
    text = page("sinks").text
    source = Path(opentelemetry.__file__).read_text(encoding="utf-8")
    for name in set(re.findall(r'"((?:steadypool|messaging|code|error)\.[\w.]+)"', source)) - {
        "steadypool.cause", "steadypool.done", "steadypool.total"
    }:  # fmt: skip
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    ("name", "sentence", "number"),
    [
        ("sinks", "and {} pools have labels", MOST_POOLS),
        ("sinks", "first {} tasks", 100),
        ("guarantees", "({} characters at most)", arguments.MAX_TEXT),
        ("lifecycle", "one in {} is measured", run_times.SAMPLE),
        ("lifecycle", "less than a millisecond", run_times.WORTH_MEASURING == 0.001),
        ("lifecycle", "at most ten times a second", LOOK_AGAIN == 0.1),
    ],
)
def test_numbers(name: str, sentence: str, number: object) -> None:
    assert number
    assert sentence.format(number) in " ".join(page(name).text.split())
