"""What the tests under real servers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contrib.served import Server
from tests.durable.engine.postgres import server

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session", autouse=True)
def shared_server() -> Iterator[None]:
    """The PostgreSQL that the first test in need of it started ends with the session."""
    yield
    server.remove_shared_server()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts a server; at the end of the test none is left."""
    servers: list[Server] = []

    def start(command: list[str], folder: Path = EXAMPLES, **environment: str) -> Server:
        servers.append(Server(command, folder, **environment))
        return servers[-1]

    yield start
    for one in servers:
        one.process.kill()
        one.process.wait()
