"""Every sink is tested on every kind of pool, asyncio included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pools.aio_contract.on_a_loop import OnALoop
from tests.pools.contract.kinds import KINDS, Kind

ALL = {**KINDS, "asyncio": Kind("asyncio", OnALoop, kills=False)}


@pytest.fixture(params=list(ALL.values()), ids=list(ALL))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of pool that is tested."""
    return request.param


@pytest.fixture(autouse=True)
def loops_end() -> Iterator[None]:
    """No loop outlives its test."""
    yield
    OnALoop.end_loops()
