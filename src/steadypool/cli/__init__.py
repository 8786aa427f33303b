"""The command line: ``steadypool`` and its commands."""

from steadypool.cli.app import main

__all__ = ["main"]
