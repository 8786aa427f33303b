"""Every race is run twice: as the interpreter changes threads by itself, and as often as it can."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.races.arena import switching_every


@pytest.fixture(params=[None, 1e-6], ids=["as-usual", "restless"])
def switching(request: pytest.FixtureRequest) -> Iterator[float | None]:
    """How often threads change: the test runs under it."""
    with switching_every(request.param):
        yield request.param
