"""``steadypool enqueue``: one job, from the shell."""

from __future__ import annotations

import sys
from typing import Any

import click

from steadypool.cli.exit_codes import DONE, SOME_FAILED, UsageError
from steadypool.cli.option_types import LENGTH, MOMENT, SECONDS
from steadypool.cli.queue.target import as_usage_errors, load_durable_task
from steadypool.durable.engine.errors import JobDiscarded
from steadypool.model.errors import JobCancelled
from steadypool.model.printable import printable, printable_lines


@click.command("enqueue")
@click.argument("target", metavar="MODULE:TASK")
@click.argument("arguments", default="[]", metavar="[JSON]")
@click.option("--url", "-u", help="Where the jobs are, if the queue does not say (default: STEADYPOOL_URL).")
@click.option("--delay", type=LENGTH, help="How long from now until it may run: seconds, or 90s, 5m, 1h30m.")
@click.option("--at", type=MOMENT, help="The moment it may run, with a zone: 2026-01-31T12:00+01:00.")
@click.option("--priority", type=int, help="Higher runs first (default: the task's).")
@click.option("--unique", metavar="KEY", help="Enqueue nothing while a job of this task with this key waits or runs.")
@click.option("--id", "job_id", metavar="ID", help="The job's id, instead of one that is made up.")
@click.option("--queue", metavar="NAME", help="The named queue (default: the task's).")
@click.option("--wait", type=SECONDS, metavar="SECONDS", help="Wait so long for the result, and print it.")
def enqueue_command(target: str, arguments: str, url: str | None, wait: float | None, **given: Any) -> int:
    """Enqueue a job of TASK, a durable task in MODULE, and print its id.

    \b
        steadypool enqueue app:send_email '["a@b.c", "2026-01-01T00:00:00Z"]'
        steadypool enqueue app:send_email '{"to": "a@b.c", "when": "2026-01-01T00:00:00Z"}'

    JSON is an array of the arguments, or an object of them by name. They are checked against the task's signature.

    \b
    Exit codes: 0   enqueued, or the id or key was taken by a job that is named instead
                1   --wait: the job failed, was cancelled, or has not ended
                2   the command line is wrong, or the arguments do not fit
    """
    task = load_durable_task(target, url)
    given["id"] = given.pop("job_id")
    changes = {name: value for name, value in given.items() if value is not None}
    with as_usage_errors():
        try:
            handle = task.options(**changes).enqueue_json(arguments)
        except TypeError as error:
            raise UsageError(str(error)) from error
    note = "" if handle.enqueued else "  (it was there already)"
    click.echo(f"{_shown(handle.job_id)}{note}")
    if wait is None:
        return DONE
    with as_usage_errors():
        try:
            result = handle.record_at_end(wait).result
        except (TimeoutError, JobDiscarded, JobCancelled) as error:
            click.echo(f"Error: {printable_lines(str(error))}", err=True)
            return SOME_FAILED
    click.echo(_shown((result or b"null").decode()))
    return DONE


def _shown(text: str) -> str:
    """As it is for a program; for a terminal, what that would obey is written out."""
    return printable(text) if sys.stdout.isatty() else text
