"""A durable queue that lives as long as an ASGI application, with a worker in its process and without."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from steadypool import JobState, Queue, SchemaMismatch, Worker, WorkerSettings, WorkReport
from steadypool.contrib.asgi import Readiness, queue_lifespan
from tests.contrib.served import WAIT, Server
from tests.durable.engine.postgres import server

HERE = Path(__file__).parent
UVICORN = ["uvicorn", "queue_app:app", "--port", "0"]


def queue_in(folder: Path) -> Queue:
    return Queue(f"sqlite:///{folder}/jobs.db")


def test_a_queue_is_opened_and_closed_with_its_application(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    double = queue.task(lambda number: 2 * number, name="double")
    app = FastAPI(lifespan=queue_lifespan(queue))

    @app.post("/double/{number}")
    async def put(number: int, request: Request) -> str:
        assert request.state.queue is app.state.queue is queue
        return (await double.enqueue_async(number)).id

    for _ in range(2):
        with TestClient(app) as client:
            job = client.post("/double/21").json()
            assert queue.get(job).state is JobState.AVAILABLE
            threads = {thread.name for thread in threading.enumerate()}
            assert "steadypool-durable" not in threads
    queue.close()


def test_a_worker_works_in_the_process(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    double = queue.task(lambda number: 2 * number, name="double")
    reports: list[WorkReport] = []
    settings = WorkerSettings(kind="thread", workers=2)
    app = FastAPI(lifespan=queue_lifespan(queue, worker=settings, on_drained=reports.append))
    app.mount("/ready", Readiness(lambda: app.state.worker))

    @app.get("/double/{number}")
    async def get(number: int) -> Any:
        return await (await double.enqueue_async(number)).result_async(WAIT)

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/ready").text == "ready\n" and client.get("/double/21").json() == 42
            assert isinstance(app.state.worker, Worker)
    assert [report.completed for report in reports] == [1, 1] and all(report.ok for report in reports)


def test_a_start_without_tables_fails_and_names_the_command() -> None:
    with server.database() as url:
        for worker in (None, WorkerSettings(workers=1)):
            app = FastAPI(lifespan=queue_lifespan(Queue(url), worker=worker))
            with pytest.raises(SchemaMismatch, match="run: steadypool migrate postgresql://"), TestClient(app):
                pass


def test_a_start_whose_worker_cannot_begin_fails(tmp_path: Path) -> None:
    def broken() -> Any:
        raise KeyError("no such database")

    queue = Queue(f"sqlite:///{tmp_path}/jobs.db", lifespan=broken)
    queue.task(print, name="print")
    app = FastAPI(lifespan=queue_lifespan(queue, worker=WorkerSettings(workers=1)))
    with pytest.raises(Exception, match="no such database"), TestClient(app):
        pass


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="needs a queue"):
        queue_lifespan("sqlite:///jobs.db")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="worker must be settings"):
        queue_lifespan(queue_in(tmp_path), worker=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="drain_timeout"):
        queue_lifespan(queue_in(tmp_path), drain_timeout=-1)


def test_under_uvicorn_sigterm_drains_the_worker_and_hands_its_job_back(
    start: Callable[..., Server],
    tmp_path: Path,
) -> None:
    began = tmp_path / "began"
    queue = queue_in(tmp_path)
    served = start(UVICORN, HERE, STEADYPOOL_URL=f"sqlite:///{tmp_path}/jobs.db", BEGAN_FILE=str(began))
    with served.client() as client:
        assert client.get("/ready").status_code == 200
        job = client.post("/jobs/until_told").json()
        while not began.exists():
            assert served.process.poll() is None, served.lines
            threading.Event().wait(0.01)
    served.process.send_signal(signal.SIGTERM)
    said = served.end()
    assert served.process.returncode in (0, -signal.SIGTERM) and "Traceback" not in said, said
    assert re.search(r"worker '.*' ended after .*: 1 claimed, 0 completed\n  1 interrupted", said), said
    record = queue.record(job)
    assert record.state is JobState.AVAILABLE and record.attempt == 0 and queue.stats().workers == ()
    queue.close()


def test_a_thousand_results_take_two_connections(start: Callable[..., Server], tmp_path: Path) -> None:
    with server.database(server.template()) as url:
        queue = Queue(url)
        double = queue.task(lambda number: 2 * number, name="queue_app.double")
        jobs = [handle.id for handle in queue.enqueue_many(double, [(number,) for number in range(1000)])]
        served = start(UVICORN, HERE, STEADYPOOL_URL=f"{url}{'&' if '?' in url else '?'}application_name=web")
        answers: list[int] = []
        with served.client() as client, psycopg.connect(url, autocommit=True) as connection:
            asking = threading.Thread(target=lambda: answers.append(client.post("/results", json=jobs).json()))
            asking.start()
            asked = "SELECT query FROM pg_stat_activity WHERE application_name = 'web'"
            queries: list[Any] = []
            while not any("LISTEN" in query for (query,) in queries):
                assert served.process.poll() is None, served.lines
                queries = connection.execute(asked).fetchall()
                assert len(queries) <= 2, queries
            queue.work(until_empty=True, workers=4)
            assert len(connection.execute(asked).fetchall()) <= 2
            asking.join(WAIT)
        assert answers == [sum(2 * number for number in range(1000))]
        served.process.send_signal(signal.SIGTERM)
        served.end()
        queue.close()
