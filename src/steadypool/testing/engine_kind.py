"""What the conformance suite of engines needs to know of one kind of engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine

PATIENCE = 20.0
"""Seconds until a call is given up: no test waits that long, however busy the machine is."""


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """One kind of engine, and what the suite does to its stores behind its back.

    Who writes an engine makes one in a plugin for pytest, as the fixture ``engine_kind``, and runs the suite by
    ``pytest --pyargs steadypool.testing.conformance -p that_plugin``.
    """

    name: str
    empty_store: Callable[[Path], AbstractContextManager[str]]
    """A ``with`` block that gives the address of a store without tables. Its folder is the test's own."""
    hold: Callable[[str], AbstractContextManager[None]]
    """A ``with`` block in which no one else can write to the store at that address."""
    remember: Callable[[str], AbstractContextManager[Callable[[], None]]]
    """A ``with`` block that gives a function by which the store goes back to what it was at the beginning of it."""
    written: Callable[[str], object]
    """Something that changes whenever something is written to the store."""
    store_with_tables: Callable[[Path], AbstractContextManager[str]] | None = None
    """As `empty_store`, with tables, where that is quicker than to migrate, or where `migrate` alone makes them."""
    open_with: Callable[[str], Engine] = open_engine
    """Makes an engine object on the store at that address."""
    is_owner: bool = True
    """Whether who connects by that address owns the tables: may lock them, and move the clock."""

    def open(self, url: str) -> Engine:
        """An engine object on that store, with little patience."""
        engine = self.open_with(url)
        engine.timeout = PATIENCE
        return engine
