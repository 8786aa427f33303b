"""The ``steadypool`` program: its commands, and how errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

from steadypool import __version__
from steadypool.cli.closed_pipes import let_go_of_closed_pipes
from steadypool.cli.exit_codes import CLOSED_PIPE, INTERRUPTED, UsageError
from steadypool.cli.exit_limit import limit_exit

COMMANDS = {
    "backup": ("queue.files:backup_command", "Copy a queue on SQLite to FILE, as it is at one moment."),
    "compact": ("queue.files:compact_command", "Make the file of a queue on SQLite as small as what it holds."),
    "batches": ("queue.batches:batches_group", "Look at batches of durable jobs, and cancel them."),
    "enqueue": ("queue.enqueue:enqueue_command", "Enqueue a job of a durable task, and print its id."),
    "import-celery-beat": (
        "queue.import_beat:import_beat_command",
        "Translate a schedule of Celery beat into Python to paste.",
    ),
    "jobs": ("queue.jobs:jobs_group", "Look at the jobs of a durable queue, and change them."),
    "limits": ("queue.limits:limits_group", "Look at limits of durable tasks, and set them by hand."),
    "map": ("map.command:map_command", "Call a function once for each line of a file."),
    "migrate": ("queue.migrate:migrate_command", "Make the tables of the queue at URL, or bring them up to date."),
    "schedules": ("queue.schedules:schedules_group", "Look at the schedules of a durable queue, and change them."),
    "top": ("top.command:top_command", "Watch the pools of a running program."),
    "web": ("queue.web:web_command", "Show a durable queue in a browser."),
    "work": ("queue.work:work_command", "Run the jobs of QUEUE, a steadypool.Queue in MODULE."),
}
"""Where each command is, below `steadypool.cli`, and its line in the help. It is loaded when it is called."""


class Commands(click.Group):
    """The commands of `COMMANDS`: a command's modules are imported when it runs, or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"steadypool.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _refuse_url(context: click.Context, param: click.Parameter, url: str | None) -> None:
    if url is not None:
        raise UsageError(
            f"--url stands behind the command: steadypool jobs list --url {url}, steadypool work app:queue --url {url}"
        )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.option("--url", "-u", hidden=True, expose_value=False, callback=_refuse_url)
@click.version_option(__version__, "-V", "--version", prog_name="steadypool")
def program() -> None:
    """A worker pool for programs that run in production: bounded, with time limits that work and a
    shutdown that ends."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    sys.exit(run_command(arguments))


def run_command(arguments: Sequence[str] | None, name: str = "steadypool") -> int:
    """Run the program, which help and errors call *name*; returns its exit code, with which to leave now."""
    try:
        code = _run(arguments, name)
    finally:
        let_go_of_closed_pipes()
    limit_exit(code)
    return code


def _run(arguments: Sequence[str] | None, name: str) -> int:
    _let_every_letter_through()
    try:
        code = program.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        with suppress(BrokenPipeError):
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
