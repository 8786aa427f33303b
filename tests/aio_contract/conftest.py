"""The scenarios of `tests.contract`, on an `AsyncPool`."""

from __future__ import annotations

import pytest

from tests.aio_contract.on_a_loop import OnALoop
from tests.contract.kinds import Kind


@pytest.fixture
def kind() -> Kind:
    """The kind of pool that is tested."""
    return Kind("asyncio", OnALoop, kills=False)
