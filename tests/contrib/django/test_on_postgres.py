"""The backend, the worker and the rest on PostgreSQL: see the folder ``inside``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.django.inside_run import LONGEST, run_inside
from tests.durable.engine.postgres import server


@pytest.fixture(scope="module", autouse=True)
def shared_server() -> Iterator[None]:
    """The server that this test starts ends with it."""
    yield
    server.remove_shared_server()


@pytest.mark.timeout(LONGEST)
def test_a_project_on_postgres(tmp_path: Path) -> None:
    with server.database() as default, server.database() as other, server.database(server.template()) as elsewhere:
        run_inside(tmp_path, default=default, other=other, elsewhere=elsewhere)
