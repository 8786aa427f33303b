"""On which engine the tests of the kit keep their jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.durable.engine.postgres import server
from tests.testing import shop


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_engine") is not None:
        metafunc.parametrize("steadypool_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def shared_server() -> Iterator[None]:
    yield
    server.remove_shared_server()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server.database() as url:
        yield url


@pytest.fixture
def steadypool_url(request: pytest.FixtureRequest) -> str | None:
    """As users override it."""
    return request.getfixturevalue("database") if getattr(request, "param", "sqlite") == "postgres" else None


@pytest.fixture
def steadypool_queues() -> list[object]:
    """Other tests of this process have queues, too."""
    return [shop.queue]


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    shop.seen.clear()
