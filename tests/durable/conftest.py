"""What the tests of the durable queue share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steadypool import Queue
from steadypool.durable.engine.protocol import Engine
from tests.durable import app
from tests.durable.engine.postgres import server
from tests.durable.engines import ENGINES, EngineKind
from tests.pools.contract.stage import Stage


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The conformance suite runs on each kind of engine, the rest on the first; on one of each family if so marked."""
    if "engine_kind" in metafunc.fixturenames:
        every = "conformance" in metafunc.module.__name__
        marked = metafunc.definition.get_closest_marker("every_engine") is not None
        kinds = [kind for kind in ENGINES if every or (kind.runs_workers if marked else kind is ENGINES[0])]
        metafunc.parametrize("engine_kind", kinds, ids=lambda kind: kind.name)


@pytest.fixture(scope="session", autouse=True)
def shared_server() -> Iterator[None]:
    """The PostgreSQL that the first test in need of it started ends with the session."""
    yield
    server.remove_shared_server()


@pytest.fixture
def url(engine_kind: EngineKind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a store without jobs; with tables or without, unless the test is marked ``empty_store``."""
    make = engine_kind.store_with_tables or engine_kind.empty_store
    if request.node.get_closest_marker("empty_store"):
        make = engine_kind.empty_store
    with make(tmp_path) as url:
        yield url


@pytest.fixture
def open_engine(engine_kind: EngineKind, url: str) -> Iterator[object]:
    """Opens engine objects on the store; they are closed at the end."""
    opened: list[Engine] = []

    def make() -> Engine:
        opened.append(engine_kind.open(url))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: object) -> Engine:
    """An engine on an empty store with tables."""
    made: Engine = open_engine()  # type: ignore[operator]
    made.migrate()
    return made


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """The queue of `app`, on an empty store."""
    monkeypatch.setenv("STEADYPOOL_URL", url)
    yield app.queue
    app.queue.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where the jobs of `app.act` wait for the test."""
    stage = Stage()
    yield stage
    stage.close()
