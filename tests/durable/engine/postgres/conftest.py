"""What the tests of PostgreSQL alone share."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from steadypool import Queue
from tests.durable import app
from tests.durable.engine.postgres import server


@pytest.fixture
def address() -> Iterator[str]:
    """A database with tables and without jobs, on the server of the session."""
    with server.clean_database() as url:
        yield url


@pytest.fixture(scope="module")
def own_server() -> Iterator[server.Server]:
    """A server that may be stopped and frozen."""
    own = server.Server().start()
    yield own
    own.remove()


@pytest.fixture
def queue(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """The queue of `app` on that database."""
    monkeypatch.setenv("STEADYPOOL_URL", address)
    yield app.queue
    app.queue.close()


@pytest.fixture
def own_queue(own_server: server.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """The queue of `app`, without jobs, on a server that may be stopped."""
    monkeypatch.setenv("STEADYPOOL_URL", own_server.url)
    app.queue.engine.migrate()
    yield app.queue
    app.queue.close()
    with psycopg.connect(own_server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA steadypool CASCADE")
