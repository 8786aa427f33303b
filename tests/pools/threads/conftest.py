"""What holds on threads alone."""

from __future__ import annotations

import pytest

from tests.pools.contract.kinds import KINDS, Kind


@pytest.fixture
def kind() -> Kind:
    """The kind of pool that is tested."""
    return KINDS["threads"]
