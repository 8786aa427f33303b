"""The command line: ``steadypool map`` and ``steadypool demo``."""

from steadypool.cli.app import main

__all__ = ["main"]
