"""``steadypool backup`` and ``steadypool compact``: the file of a queue on SQLite, while it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from steadypool.cli.exit_codes import DONE, UsageError
from steadypool.cli.queue.target import as_usage_errors, queue_at, url_option
from steadypool.durable.engine.sqlite.engine import SqliteEngine


@click.command("backup")
@click.argument("file", type=click.Path(), metavar="FILE")
@url_option
def backup_command(file: str, url: str | None) -> int:
    """Copy a queue on SQLite to FILE, as it is at one moment. Workers and callers may go on using it meanwhile.

    \b
        steadypool backup /backups/jobs-today.db --url sqlite:////var/lib/app/jobs.db

    FILE is a queue itself: "steadypool jobs list --url sqlite:////backups/jobs-today.db" looks into it. To put it back,
    stop everything that uses the queue, remove the old file and those beside it whose names begin like its own, and
    copy FILE into its place.

    \b
    Exit codes: 0   done
                2   there is no such queue, FILE is there already, or cannot be written
    """
    with _file_at(url) as engine:
        try:
            size = engine.back_up(file)
        except OSError as error:
            raise UsageError(str(error)) from error
    click.echo(f"{file}: {size:,} bytes")
    return DONE


@click.command("compact")
@url_option
def compact_command(url: str | None) -> int:
    """Make the file of a queue on SQLite as small as what it holds. Workers and callers may go on using it meanwhile.

    \b
        steadypool compact --url sqlite:////var/lib/app/jobs.db

    A file does not shrink on its own when jobs go: the room is used again by later ones. This gives it back to the file
    system, a few milliseconds at a time. It is worth it after a flood of jobs that does not come again.

    \b
    Exit codes: 0   done
                2   there is no such queue, or its file was made by another program and cannot be shrunk so
    """
    with _file_at(url) as engine:
        before, after = engine.compact()
    click.echo(f"{before:,} bytes before, {after:,} now")
    return DONE


@contextmanager
def _file_at(url: str | None) -> Iterator[SqliteEngine]:
    with as_usage_errors(), queue_at(url) as queue:
        engine = queue.engine
        if not isinstance(engine, SqliteEngine):
            raise UsageError(
                f"this is for a queue on SQLite, and {engine.url} is none: PostgreSQL has pg_dump for copies, and "
                "VACUUM FULL for room"
            )
        yield engine
