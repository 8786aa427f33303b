"""Floor 7, the command line: ``steadypool`` and its commands, a package for each that takes several files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    # Not above: a worker process imports `cli.map.line_task` alone, while the time limit of its first job runs already.
    from steadypool.cli.app import main as run

    run(arguments)
