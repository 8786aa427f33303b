"""The ASGI lifespan, and a service under real uvicorn that is told to end in the middle of its load."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Route

from steadypool import AsyncPool, DrainReport, PoolState, ProcessPool, ThreadPool
from steadypool.contrib.asgi import Liveness, Readiness, pool_lifespan

WEB = Path(__file__).parents[2] / "examples" / "web.py"
WAIT = 30.0


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def hang() -> None:
    await asyncio.Event().wait()


def test_a_pool_lives_as_long_as_its_application() -> None:
    reports: list[DrainReport] = []
    app = FastAPI(lifespan=pool_lifespan(lambda: AsyncPool(2), on_drained=reports.append))

    @app.get("/double/{number}")
    async def get(number: int, request: Request) -> int:
        assert request.state.pool is app.state.pool
        return int(await request.state.pool.run(double, number))

    for _ in range(2):  # a factory makes a pool for each start
        with TestClient(app) as client:
            pool = app.state.pool
            assert client.get("/double/21").json() == 42 and pool.health().ready
        assert pool.state is PoolState.CLOSED and not pool.health().ready
    assert [report.stats.succeeded for report in reports] == [1, 1] and all(report.ok for report in reports)


def test_an_application_that_is_started_again_needs_a_function() -> None:
    app = FastAPI(lifespan=pool_lifespan(AsyncPool(2)))
    with TestClient(app):
        pass
    with pytest.raises(RuntimeError, match=r"pool_lifespan\(lambda: AsyncPool\(\.\.\.\)\)"), TestClient(app):
        pass


@pytest.mark.parametrize("given", [None, 3, [AsyncPool(1)], {"pool": "a"}])
def test_what_is_no_pool_is_told_at_once(given: Any) -> None:
    with pytest.raises(TypeError, match="needs a pool"):
        pool_lifespan(given)


def test_pools_of_every_kind() -> None:
    reports: list[DrainReport] = []
    kinds = {"threads": lambda: ThreadPool(2), "processes": lambda: ProcessPool(1), "tasks": lambda: AsyncPool(2)}
    app = FastAPI(lifespan=pool_lifespan(kinds, on_drained=reports.append))

    @app.get("/all")
    async def get() -> list[int]:
        state = app.state
        return [
            await state.threads.run(abs, -1),
            await state.processes.run(abs, -2),
            await state.tasks.run(double, 21),
        ]

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/all").json() == [1, 2, 42]
    assert len(reports) == 6 and all(report.ok and report.stats.succeeded == 1 for report in reports)


def test_the_pool_may_be_the_loop_s_own_executor() -> None:
    reports: list[DrainReport] = []
    app = Starlette(lifespan=pool_lifespan(lambda: ThreadPool(1), on_drained=reports.append))

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(app.state.pool)
        assert await loop.run_in_executor(None, abs, -1) == 1

    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(work)
    assert reports[0].ok


def test_readiness() -> None:
    pool = AsyncPool(1, cancel_grace=0)
    app = Starlette(lifespan=pool_lifespan(pool, drain_timeout=0, attribute="jobs"))
    app.mount("/ready", Readiness(pool))

    async def occupy() -> None:
        await app.state.jobs.submit(hang)

    with TestClient(app, follow_redirects=False) as client:
        assert (client.get("/ready").status_code, client.get("/ready").text) == (200, "ready\n")
        assert client.get("/ready/").status_code == 200
        assert client.portal is not None
        client.portal.call(occupy)
        pool.request_drain(WAIT)
        for path in ("/ready", "/ready/"):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (503, "draining\n")


@pytest.mark.parametrize("application", [FastAPI, Starlette])
def test_probes_answer_where_they_are_mounted(application: Any) -> None:
    app = application(lifespan=pool_lifespan(lambda: ThreadPool(1)))
    app.mount("/ready", Readiness(lambda: app.state.pool))
    app.mount("/alive", Liveness(lambda: app.state.pool))
    for _ in range(2):
        with TestClient(app, follow_redirects=False) as client:
            assert [client.get(path).status_code for path in ("/ready", "/ready/", "/alive")] == [200] * 3
            assert client.head("/ready").status_code == 200
            app.state.pool.request_drain(0)
            assert client.get("/ready").status_code == 503


def test_probes_as_routes() -> None:
    with ThreadPool(1) as pool:
        app = Starlette(routes=[Route("/ready", Readiness(pool))])
        client = TestClient(app, follow_redirects=False)
        assert client.get("/ready").status_code == 200
    assert client.get("/ready").status_code == 503
    with pytest.raises(TypeError, match="Readiness needs a pool"):
        Readiness(3)  # type: ignore[arg-type]


def test_what_is_left_undone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pool = AsyncPool(1, cancel_grace=0)
    app = Starlette(lifespan=pool_lifespan(pool, drain_timeout=0))

    async def occupy() -> None:
        await pool.submit(hang)

    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(occupy)
    assert "at shutdown, pool" in capsys.readouterr().err


@pytest.fixture
def service() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``examples/web.py`` on a free port: the process and its address."""
    command = [sys.executable, WEB, "--port", "0", "--workers", "20", "--seconds", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                address = found[1]
                break
        yield process, address
        process.kill()


class Load:
    """Clients that ask without pause, each until it is refused a connection, and what they were answered."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.answers: Counter[tuple[str, int]] = Counter()
        self.later: set[str] = set()
        self.enough = asyncio.Event()

    async def run(self, process: subprocess.Popen[str]) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._address, timeout=WAIT, limits=limits) as client:
            assert (await client.get("/ready/")).status_code == 200
            clients = [asyncio.create_task(self._ask(client, number)) for number in range(50)]
            await asyncio.wait_for(self.enough.wait(), WAIT)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        path = "/words/later" if number % 5 == 0 else "/words"
        while True:
            try:
                answer = await client.post(path, content="one two three")
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return
            self.answers[path, answer.status_code] += 1
            if answer.status_code == 200:
                assert answer.json() == {"words": 3}
            elif answer.status_code == 202:
                self.later.add(answer.json()["job"])
            if self.answers["/words", 200] >= 60 and self.later:
                self.enough.set()
            if answer.status_code == 503:
                await asyncio.sleep(0.01)


def test_a_service_that_is_told_to_end_under_load(service: tuple[subprocess.Popen[str], str]) -> None:
    process, address = service
    load = Load(address)
    asyncio.run(load.run(process))
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode in (0, -signal.SIGTERM), err
    report: dict[str, Any] = json.loads(out)
    stats, answers = report["stats"], load.answers
    assert report["ok"] and report["on_time"], report
    # Every accepted job was answered, or is done and in the report; nothing else was answered as if it had been.
    # (A request that meets the closing of its idle connection gets no answer: no server has read it.)
    assert stats["succeeded"] == stats["accepted"] == answers["/words", 200] + len(load.later)
    assert answers["/words/later", 202] == len(load.later)
    assert set(answers) <= {("/words", 200), ("/words", 503), ("/words/later", 202), ("/words/later", 503)}
    assert "Traceback" not in err
