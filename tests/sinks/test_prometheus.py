"""Prometheus metrics, as `prometheus_client` exposes them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from steadypool import QueueFull, Retry, ThreadPool, task
from steadypool.model import events
from steadypool.sinks.metrics import OTHER, BoundedNames
from steadypool.sinks.prometheus import PrometheusSink
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


class Exposed:
    """What a scrape gives, read by the client's own parser."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = generate_latest(registry).decode()
        self.samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def of(self, name: str, **labels: str) -> float:
        """The sum of the samples with that name and these labels."""
        found = [s.value for s in self.samples if s.name == f"steadypool_{name}" and labels.items() <= s.labels.items()]
        return sum(found)

    def labels(self, name: str) -> set[str]:
        return {s.labels[name] for s in self.samples if name in s.labels}


def test_what_happens_is_counted_by_task(
    make_pool: Callable[..., Any], registry: CollectorRegistry, tmp_path: Any
) -> None:
    pool = make_pool(2, name="work")
    pool.subscribe(PrometheusSink(registry))
    good, bad = task(jobs.sleep, name="good"), task(jobs.fail, name="bad")
    again = task(jobs.always_fail, name="again", retry=Retry(3, backoff=0))
    for future in [
        *(pool.submit(good, 0.002) for _ in range(5)),
        pool.submit(bad),
        pool.submit(again, str(tmp_path / "n")),
    ]:
        future.exception(WAIT)
    seen = Exposed(registry)
    assert [seen.of("jobs_accepted_total", pool="work", task=name) for name in ("good", "bad", "again")] == [5, 1, 1]
    assert seen.of("jobs_ended_total", pool="work", task="good", outcome="succeeded") == 5
    assert seen.of("jobs_ended_total", outcome="failed") == 2
    assert seen.of("job_retries_total", task="again") == 2
    assert seen.of("job_run_seconds_count", task="again") == 3
    assert seen.of("job_wait_seconds_count", task="again") == 1
    assert seen.of("job_run_seconds_sum", task="good") >= 0.01
    assert seen.of("job_run_seconds_bucket", task="good", le="0.001") == 0
    assert seen.labels("pool") == {"work"}


def test_what_is_comes_from_the_books(make_pool: Callable[..., Any], registry: CollectorRegistry, stage: Stage) -> None:
    pool = make_pool(1, name="work", queue_size=3)
    pool.subscribe(PrometheusSink(registry))
    pool.submit(jobs.sleep, 0.01).result(WAIT)
    _, actor = stage.start(pool)
    waiting = [pool.submit(jobs.nothing) for _ in range(2)]
    seen = Exposed(registry)
    gauges = ("jobs_waiting", "jobs_running", "jobs_retrying", "queue_size", "workers", "workers_max", "capacity")
    assert [seen.of(name, pool="work") for name in gauges] == [2, 1, 0, 3, 1, 1, 1]
    assert seen.of("oldest_waiting_seconds") > 0 and seen.of("drain_estimate_seconds") > 0
    assert seen.of("workers_stuck") == 0 and seen.of("pool_open") == 1
    with suppress(QueueFull):
        while True:
            pool.try_submit(jobs.nothing)
    assert Exposed(registry).of("jobs_rejected_total", pool="work") == 1
    actor.tell("return")
    for future in waiting:
        future.result(WAIT)
    pool.drain(WAIT)
    assert Exposed(registry).of("pool_open") == 0 and Exposed(registry).of("oldest_waiting_seconds") == 0


def test_what_does_not_stop(
    kind: Kind, make_pool: Callable[..., Any], registry: CollectorRegistry, stage: Stage
) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    pool.subscribe(PrometheusSink(registry))
    watch = Watch(pool)
    late = pool.submit(task(jobs.act, name="late", timeout=0.05), stage.address)
    late.exception(WAIT)  # not waited for on the stage: a process may be killed before it has come there
    if kind.kills:
        watch.wait_for(events.WorkerEnded)
        pool.drain(WAIT)
        seen = Exposed(registry)
        assert (seen.of("worker_kills_total"), seen.of("worker_restarts_total")) == (1, 1)
    else:
        watch.wait_for(events.WorkerAbandoned)
        seen = Exposed(registry)
        assert (seen.of("workers_stuck"), seen.of("jobs_stuck_total", task="late")) == (1, 1)
    assert seen.of("jobs_ended_total", task="late", outcome="timed_out") == 1


def test_labels_are_bounded(pool: Any, registry: CollectorRegistry) -> None:
    pool.subscribe(PrometheusSink(registry, max_tasks=3))
    for number in range(6):
        pool.submit(task(jobs.nothing, name=f"task-{number}")).result(WAIT)
    seen = Exposed(registry)
    assert seen.labels("task") == {"task-0", "task-1", "task-2", OTHER}
    assert seen.of("jobs_ended_total", task=OTHER, outcome="succeeded") == 3


def test_two_sinks_and_two_pools_on_one_registry(make_pool: Callable[..., Any], registry: CollectorRegistry) -> None:
    one, other = make_pool(1, name="same"), make_pool(2, name="same")
    unsubscribe = one.subscribe(PrometheusSink(registry))
    other.subscribe(PrometheusSink(registry))
    for pool in (one, other):
        pool.submit(task(jobs.nothing, name="n")).result(WAIT)
    seen = Exposed(registry)
    assert seen.of("jobs_accepted_total", pool="same") == 2
    assert seen.of("workers_max", pool="same") == 3
    unsubscribe()
    one.submit(task(jobs.nothing, name="n")).result(WAIT)
    seen = Exposed(registry)
    assert seen.of("jobs_accepted_total") == 2 and seen.of("workers_max") == 2


def test_other_settings_on_the_same_registry_are_refused(registry: CollectorRegistry) -> None:
    PrometheusSink(registry)
    with pytest.raises(ValueError, match="CollectorRegistry of its own"):
        PrometheusSink(registry, max_tasks=5)
    with pytest.raises(ValueError, match="max_tasks"):
        PrometheusSink(CollectorRegistry(), max_tasks=0)


def test_a_pool_that_is_gone_is_gone_from_the_metrics(registry: CollectorRegistry) -> None:
    sink = PrometheusSink(registry)
    for number in range(3):
        pool = ThreadPool(1, name=f"pool-{number}")
        pool.subscribe(sink)
        pool.drain(WAIT)
        freed = threading.Event()
        weakref.finalize(pool._core, freed.set)
        del pool
        while not freed.wait(0.01):  # a thread that has begun the drain may be about to end
            gc.collect()
    assert Exposed(registry).labels("pool") == set()


def test_an_event_that_it_has_no_metric_for(registry: CollectorRegistry) -> None:
    PrometheusSink(registry)(events.PoolDraining("p", 0.0, 1.0))
    assert Exposed(registry).labels("pool") == set()


def test_names_that_are_no_utf_8(make_pool: Callable[..., Any], registry: CollectorRegistry) -> None:
    pool = make_pool(1, name="p-\udc80")
    pool.subscribe(PrometheusSink(registry))
    pool.submit(task(jobs.nothing, name='t-\udcff-ä-"\n')).result(WAIT)
    seen = Exposed(registry)
    assert seen.of("jobs_ended_total", pool="p-\\udc80", task='t-\\udcff-ä-"\\n', outcome="succeeded") == 1
    assert seen.of("workers_max", pool="p-\\udc80") == 1


def test_one_metric_can_be_asked_for_by_name(make_pool: Callable[..., Any], registry: CollectorRegistry) -> None:
    pool = make_pool(1, name="p")
    pool.subscribe(PrometheusSink(registry))
    [family] = registry.restricted_registry(["steadypool_workers_max"]).collect()
    assert [sample.labels for sample in family.samples] == [{"pool": "p"}]


def test_bounded_names() -> None:
    label = BoundedNames(2)
    assert BoundedNames(1)("\x1b[2J\u202e") == r"\x1b[2J\u202e"
    assert [label(name) for name in "abcab"] == ["a", "b", OTHER, "a", "b"]
