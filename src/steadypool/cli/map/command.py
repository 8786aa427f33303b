"""``steadypool map``: a function over every line of a file or of standard input. Its command line."""

from __future__ import annotations

from typing import Any

import click

from steadypool.cli.kinds import KINDS
from steadypool.cli.option_types import COUNT, SECONDS, SecondsRange


@click.command("map")
@click.argument("target", metavar="MODULE:FUNCTION")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--workers", "-w", type=COUNT, help="How many jobs run at a time (default: the pool's).")
@click.option("--kind", type=click.Choice(list(KINDS)), default="thread", help="What runs the jobs.")
@click.option("--timeout", type=SECONDS, help="Seconds one attempt of a job may run.")
@click.option("--total-timeout", type=SECONDS, help="Seconds from reading a line to the end of its last attempt.")
@click.option("--attempts", type=COUNT, help="How often a job that fails is run, the first time included.")
@click.option("--queue-size", type=COUNT, default=1000, help="How many lines are read ahead of the workers.")
@click.option("--json", "json_lines", is_flag=True, help="Each line is one JSON value; the function gets the value.")
@click.option("--unordered", is_flag=True, help="Write results as jobs end, not in the order of the input.")
@click.option("--with-input", is_flag=True, help='Write {"line": …, "input": …, "result": …} for each result.')
@click.option("--output", "-o", metavar="FILE", help="Write results to FILE, not to standard output.")
@click.option(
    "--errors",
    "-e",
    metavar="FILE",
    help="Write one JSON object for each line that gave no result: line, input, outcome, type, "
    "error, attempts, traceback.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure: what runs is finished.")
@click.option(
    "--drain-timeout",
    type=SecondsRange(min=0),
    default=30.0,
    help="Seconds that running jobs get to finish when the run is stopped.",
)
@click.option("--journal", metavar="FILE", help="Keep what is done in FILE: started again, only the rest is done.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no report; one line if lines failed.")
def map_command(**given: Any) -> int:
    """Call FUNCTION of MODULE once for each line of FILE (or of standard input), several at a time.

    \b
        find . -name '*.py' | steadypool map mymodule:analyse --timeout 5 > out.jsonl

    MODULE is found as "python -m" finds it, the current directory first. FUNCTION gets the line's text, without
    its end, as its one argument. Blank lines are lines, too.

    Results go to standard output as JSON Lines in the order of the input, each line whole even when the run is
    killed. A line that fails gives no result there: use --errors to keep it, so that every line is in one file
    or the other. A result that JSON cannot carry is a failure. What FUNCTION prints goes to standard error.

    Input is read as the workers need it: memory does not grow with its length.

    With --journal, results are also kept in FILE. A run that was killed, started again with the same input and a fresh
    output, takes them from there: it does only what was not done, and writes each line once. Lines that failed are
    tried again.

    On Ctrl-C or SIGTERM the program reads no more lines, finishes what runs (for --drain-timeout seconds at most), and
    reports what it has not done. On a second signal it asks running jobs to stop. On a third it ends at once.

    \b
    Exit codes: 0   every line gave a result
                1   some did not
                2   the command line or the module is wrong
              130   stopped by Ctrl-C (143: by SIGTERM)
              141   the reader of the results left ("| head")
    """
    from steadypool.cli.map.call import Map, MapOptions  # a pool, which the help does without

    return Map(MapOptions(**given)).run()
