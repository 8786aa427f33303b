"""The status server of a durable worker: probes, metrics by queue, and a store that is away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from steadypool import Queue, Retry, Worker, WorkerSettings, serve_status
from steadypool.durable.worker import depths
from tests.durable import app
from tests.durable.engines import ENGINES
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

KINDS = [kind for kind in ENGINES if kind.runs_workers]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def url(kind: Any, tmp_path: Path) -> Iterator[str]:
    with (kind.store_with_tables or kind.empty_store)(tmp_path) as url:
        yield url


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    monkeypatch.setattr(depths, "FRESH", 0.0)
    yield app.queue
    app.queue.close()


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=WAIT, trust_env=False, verify=False)


def metrics(url: str) -> dict[tuple[str, str], float]:
    """The value of each metric by its name and queue."""
    families = text_string_to_metric_families(get(f"{url}/metrics").text)
    samples = [sample for family in families for sample in family.samples if "queue" in sample.labels]
    return {(sample.name.removeprefix("steadypool_"), sample.labels["queue"]): sample.value for sample in samples}


def test_probes_and_gauges_of_a_worker(queue: Queue) -> None:
    with contextlib.closing(Stage()) as stage:
        app.act.enqueue(stage.address)
        app.add.options(delay=60).enqueue(1)
        for _ in range(3):
            app.add.options(queue="other").enqueue(1)
        working = Working(queue, workers=1)
        with serve_status(working.worker) as server:
            assert get(f"{server.url}/livez").status_code == 200
            assert get(f"{server.url}/readyz").text.endswith("is not ready: starting\n")
            with working:
                actor = stage.enter()
                app.add.enqueue(2)
                assert get(f"{server.url}/readyz").status_code == 200
                found = metrics(server.url)
                assert {queue for _, queue in found} == {"default"}, "those that it works on"
                names = ("available", "scheduled", "retryable", "running", "discarded", "paused", "answers")
                assert [found[f"queue_{name}", "default"] for name in names] == [1, 1, 0, 1, 0, 0, 1]
                assert 0 < found["queue_oldest_seconds", "default"] < WAIT
                [shown] = get(f"{server.url}/status.json").json()["queues"]
                assert (shown["name"], shown["available"], shown["running"]) == ("default", 1, 1)
                actor.tell("return")
            assert get(f"{server.url}/livez").status_code == 200
            assert get(f"{server.url}/readyz").status_code == 503


def test_failures_are_counted_by_queue_and_task(queue: Queue) -> None:
    with Working(queue) as working, serve_status(working.worker) as server:
        app.fail.enqueue(100)
        working.wait_for("JobGivenUp")
        families = text_string_to_metric_families(get(f"{server.url}/metrics").text)
        found = {
            (sample.labels["queue"], sample.labels["task"], sample.labels["next"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name == "steadypool_attempts_failed_total"
        }
        task = "tests.durable.app.fail"
        assert found == {("default", task, "retry"): 2.0, ("default", task, "discard"): 1.0}
        assert isinstance(app.QUICK, Retry)


def test_metrics_name_the_queue_and_neither_host_nor_process(queue: Queue) -> None:
    with Working(queue, queues=("default", "other")) as working, serve_status(working.worker) as server:
        text = get(f"{server.url}/metrics").text
        assert 'steadypool_workers_max{pool="default other"} 2.0' in text
        assert working.worker.settings.name not in text


def test_a_store_that_is_away_holds_up_no_probe(queue: Queue, kind: Any, url: str) -> None:
    with Working(queue) as working, serve_status(working.worker) as server:
        assert metrics(server.url)["queue_answers", "default"] == 1.0
        kind.destroy(url)
        working.wait_for("EngineFailed")
        assert get(f"{server.url}/livez").status_code == 200, "to start it anew would mend nothing"
        ready = get(f"{server.url}/readyz")
        assert ready.status_code == 503 and "database does not answer" in ready.text
        found = metrics(server.url)
        assert found["queue_answers", "default"] == 0.0 and ("queue_available", "default") not in found
        working.end(1.0)


def test_a_look_that_hangs_is_waited_for_no_longer_than_its_patience(
    queue: Queue, kind: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "TIMEOUT", 0.05)
    worker = Worker(queue, WorkerSettings(kind="thread"))
    queue.engine.migrate()
    [known] = worker.depths()
    assert known.answers or known.available is None
    with kind.hold(url):
        [known] = worker.depths()  # SQLite looks all the same; PostgreSQL's tables are locked
    assert known.name == "default"


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(TypeError, match="a durable worker"):
        serve_status(app.queue)  # type: ignore[arg-type]
