"""``steadypool top``: its command line."""

from __future__ import annotations

from typing import Any

import click

from steadypool.cli.option_types import SecondsRange


@click.command("top")
@click.argument("pid", type=click.IntRange(min=1), required=False)
@click.option("--pool", metavar="NAME", help="The pool to look at first, or with --once, the only one to show.")
@click.option("--once", is_flag=True, help="Print one frame and leave.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print it as one JSON object.")
@click.option(
    "--interval",
    type=SecondsRange(min=0.1),
    default=1.0,
    help="Seconds between two looks; rates are what has changed between them.",
)
@click.option(
    "--drain-timeout",
    type=SecondsRange(min=0),
    default=30.0,
    help="Seconds that the pool gets when you drain it from here.",
)
def top_command(**given: Any) -> int:
    """Watch the pools of a running program: what they do, what fails, what hangs and where.

    PID is the program's process. Without it, the only program of yours that can be watched. One can be, if a pool of
    it was made with monitor=True; `steadypool map` always can. It answers to you and to root, on this machine, and
    pays for being watched only while it is.

    \b
    Keys: up, down   choose a worker         d   drain the pool (asks first)
          s          its job's stack         Tab the next pool
          c          cancel it (asks first)  Esc back
          e          errors in full          q   quit
    """
    from steadypool.cli.top.call import TopOptions, run  # the view, which the help does without

    return run(TopOptions(**given))
