"""What the tests of the durable queue share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steadypool.durable.engine import Engine
from tests.durable.engines import ENGINES, EngineKind


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.name)
def engine_kind(request: pytest.FixtureRequest) -> EngineKind:
    """Each kind of engine in turn."""
    kind: EngineKind = request.param
    return kind


@pytest.fixture
def url(engine_kind: EngineKind, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store."""
    with engine_kind.empty_store(tmp_path) as url:
        yield url


@pytest.fixture
def open_engine(engine_kind: EngineKind, url: str) -> Iterator[object]:
    """Opens engine objects on the store; they are closed at the end."""
    opened: list[Engine] = []

    def make() -> Engine:
        opened.append(engine_kind.open(url))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: object) -> Engine:
    """An engine on an empty store with tables."""
    made: Engine = open_engine()  # type: ignore[operator]
    made.migrate()
    return made
