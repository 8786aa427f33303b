"""The kinds of engine that the conformance suite runs on: one row each. A new engine adds its row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from steadypool.durable.address import open_engine
from steadypool.durable.engine import Engine


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine, and how a test gets an empty store of it."""

    name: str
    empty_store: Callable[[Path], AbstractContextManager[str]]
    """A ``with`` block that gives the address of a store without tables. Its folder is the test's own."""
    runs_workers: bool = True
    """Whether the tests of queues and workers run on it, too; the conformance suite does on each."""

    def open(self, url: str) -> Engine:
        """An engine object on that store, with little patience: nothing in a test is to take long."""
        engine = open_engine(url)
        engine.patience = 5.0
        return engine


@contextmanager
def sqlite_file(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/jobs.db?synchronous=NORMAL"


@contextmanager
def sqlite_file_by_apsw(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/jobs.db?synchronous=NORMAL&driver=apsw"


ENGINES = [EngineKind("sqlite", sqlite_file), EngineKind("sqlite-apsw", sqlite_file_by_apsw, runs_workers=False)]
