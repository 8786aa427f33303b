"""A store of one kind of engine, and engine objects on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.testing import EngineKind

MARKER = "empty_store: of the durable queue: the store has no tables yet"


@pytest.fixture
def url(engine_kind: EngineKind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a store without jobs; with tables or without, unless the test is marked ``empty_store``."""
    make = engine_kind.store_with_tables or engine_kind.empty_store
    if request.node.get_closest_marker("empty_store"):
        make = engine_kind.empty_store
    with make(tmp_path) as url:
        yield url


@pytest.fixture
def open_engine(engine_kind: EngineKind, url: str) -> Iterator[Callable[[], Engine]]:
    """Opens engine objects on the store; they are closed at the end."""
    opened: list[Engine] = []

    def make() -> Engine:
        opened.append(engine_kind.open(url))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: Callable[[], Engine]) -> Engine:
    """An engine on an empty store with tables."""
    made = open_engine()
    made.migrate()
    return made
