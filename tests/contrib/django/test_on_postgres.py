"""The backend, the worker and the rest on PostgreSQL: see the folder ``inside``."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.contrib.django.inside_run import LONGEST, run_inside
from tests.durable.engine.postgres import pooler, server


@pytest.mark.timeout(LONGEST)
def test_a_project_on_postgres() -> None:
    found = pooler.program()
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(server.database()) for name in ("default", "other")}
        addresses["elsewhere"] = stack.enter_context(server.database(server.template()))
        if found is not None:
            addresses["pooled"] = stack.enter_context(pooler.pooler(found, addresses["default"]))
        run_inside(**addresses)
