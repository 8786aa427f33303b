"""The ``steadypool`` program: its commands, and how errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

import click

from steadypool import __version__
from steadypool.cli.exit_codes import CLOSED_PIPE, INTERRUPTED, UsageError
from steadypool.cli.map.command import map_command
from steadypool.cli.queue.enqueue import enqueue_command
from steadypool.cli.queue.files import backup_command, compact_command
from steadypool.cli.queue.jobs import jobs_group
from steadypool.cli.queue.migrate import migrate_command
from steadypool.cli.queue.work import work_command
from steadypool.cli.top.command import top_command


def _refuse_url(context: click.Context, param: click.Parameter, url: str | None) -> None:
    if url is not None:
        raise UsageError(
            f"--url stands behind the command: steadypool jobs list --url {url}, steadypool work app:queue --url {url}"
        )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--url", "-u", hidden=True, expose_value=False, callback=_refuse_url)
@click.version_option(__version__, "-V", "--version", prog_name="steadypool")
def program() -> None:
    """A worker pool for programs that run in production: bounded, with time limits that work and a
    shutdown that ends."""


program.add_command(map_command)
program.add_command(work_command)
program.add_command(enqueue_command)
program.add_command(jobs_group)
program.add_command(migrate_command)
program.add_command(backup_command)
program.add_command(compact_command)
program.add_command(top_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    _let_every_letter_through()
    try:
        code = program.main(arguments, prog_name="steadypool", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return CLOSED_PIPE
    return code if isinstance(code, int) else 0


def _let_every_letter_through() -> None:
    """What standard output has no letter for is written out, as on standard error: cron's is ASCII."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")
