"""What the tests of the dashboard share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import Queue
from steadypool.contrib.web import Access, Dashboard, dashboard
from tests.contrib.web.client import Client
from tests.durable.conftest import pytest_generate_tests, queue, shared_server, stage, url

__all__ = ["pytest_generate_tests", "queue", "shared_server", "stage", "url"]


@pytest.fixture
def make_client(queue: Queue) -> Iterator[Callable[..., Client]]:
    """Makes clients of dashboards, by default for a user who may do everything."""
    made: list[Dashboard] = []
    queue.engine.migrate()

    def make(access: Any = None, **options: Any) -> Client:
        made.append(dashboard(queue, access=access or Access.act("ann"), **options))
        return Client(made[-1])

    yield make
    for app in made:
        app.close()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """A client of a dashboard."""
    return make_client()
