"""Floor 7, the command line: ``steadypool`` and its commands, a package for each that takes several files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from steadypool import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    if (sys.argv[1:] if arguments is None else list(arguments)) in (["--version"], ["-V"]):
        _show_version()
    # Not above: a worker process imports `cli.map.line_task` alone, while the time limit of its first job runs already.
    from steadypool.cli.app import main as run

    run(arguments)


def _show_version() -> NoReturn:
    """Without `click`, whose import takes most of the time."""
    try:
        print(f"steadypool, version {__version__}", flush=True)
    except BrokenPipeError:
        from steadypool.cli.closed_pipes import let_go_of_closed_pipes
        from steadypool.cli.exit_codes import CLOSED_PIPE

        let_go_of_closed_pipes()
        sys.exit(CLOSED_PIPE)
    sys.exit()
