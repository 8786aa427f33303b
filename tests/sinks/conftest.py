"""Every sink is tested on every kind of pool, asyncio included."""

from __future__ import annotations

import pytest

from tests.pools.contract.kinds import KINDS, Kind


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of pool that is tested."""
    return request.param
