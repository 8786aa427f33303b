"""What the tests of the durable queue share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steadypool import Queue
from steadypool.durable.worker import punctuality, shutdown
from tests.durable import app
from tests.durable.conformance.fixtures import engine, open_engine, url
from tests.durable.engine.postgres import server
from tests.durable.engines import COMBINED, ENGINES
from tests.pools.contract.stage import Stage

__all__ = ["engine", "open_engine", "url"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The conformance suite runs on each kind of engine, the rest on the first.

    On one of each family runs what is so marked, and what only combines calls.
    """
    if "engine_kind" in metafunc.fixturenames:
        folder, _, module = metafunc.module.__name__.rpartition(".")
        conforms, combined = folder.endswith("conformance"), module in COMBINED
        every = conforms and not combined
        marked = (conforms and combined) or metafunc.definition.get_closest_marker("every_engine") is not None
        kinds = [kind for kind in ENGINES if every or (kind.runs_workers if marked else kind is ENGINES[0])]
        metafunc.parametrize("engine_kind", kinds, ids=lambda kind: kind.name)


@pytest.fixture(scope="session", autouse=True)
def shared_server() -> Iterator[None]:
    """The PostgreSQL that the first test in need of it started ends with the session."""
    yield
    server.remove_shared_server()


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """The queue of `app`, on an empty store."""
    monkeypatch.setenv("STEADYPOOL_URL", url)
    app.queue.close()  # a job of a test that has this address but not this fixture may have opened it
    yield app.queue
    app.queue.close()


@pytest.fixture
def quick_to_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process take back what has run out a second after they began, and have long leases themselves."""
    monkeypatch.setattr(punctuality, "GRACE", 1.0)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> float:
    """A time limit of which jobs get less than a second, and the rest is kept for what comes after, which is quick."""
    monkeypatch.setattr(shutdown, "FLUSH_SHARE", 0.97)
    monkeypatch.setattr(shutdown, "LONGEST_FLUSH", 60.0)
    return 25.0


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where the jobs of `app.act` wait for the test."""
    stage = Stage()
    yield stage
    stage.close()
