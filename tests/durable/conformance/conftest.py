"""What the suite needs beside the fixture ``engine_kind``."""

from __future__ import annotations

import pytest

from .fixtures import MARKER, engine, open_engine, url

__all__ = ["engine", "open_engine", "url"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)
