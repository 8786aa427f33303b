"""A runtime folder of the test's own, here and in the programs that it starts; and terminals."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.top.terminal import Terminal
from tests.conftest import stage
from tests.pools.monitor.conftest import kind, runtime

__all__ = ["kind", "runtime", "stage"]


@pytest.fixture
def top(runtime: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts ``steadypool top`` on a terminal, to look at the test's own process unless it says otherwise."""
    terminals: list[Terminal] = []

    def start(*arguments: str, **size: int) -> Terminal:
        arguments = arguments or (str(os.getpid()), "--interval", "0.1")
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime.parent)}
        terminals.append(Terminal("top", *arguments, environment=environment, **size))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()
