"""``steadypool batches``: look at batches, and cancel them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from steadypool.cli.exit_codes import DONE, SOME_FAILED
from steadypool.cli.option_types import COUNT
from steadypool.cli.queue.job_text import echo_table, moment
from steadypool.cli.queue.target import URL_HELP, as_usage_errors, json_option, queue_at, url_option
from steadypool.durable.engine.batches import BatchRow
from steadypool.durable.engine.errors import UnknownBatch
from steadypool.model.printable import printable
from steadypool.model.quantities import length_text

HEADINGS = ("id", "name", "state", "members", "completed", "failed", "cancelled", "age")
FAILED_SHOWN = 10


@click.group("batches")
@click.option("--url", "-u", help=URL_HELP)
@click.pass_context
def batches_group(context: click.Context, url: str | None) -> None:
    """Look at batches of durable jobs, and cancel them.

    \b
        steadypool batches list --url sqlite:///jobs.db
        steadypool batches show batch-7
        steadypool batches cancel batch-7
    """
    context.obj = url


@batches_group.command("list")
@url_option
@click.option("--open", "only_open", is_flag=True, help="Only those that have not finished.")
@click.option("--limit", type=COUNT, default=50, show_default=True, help="The latest so many.")
@json_option
def list_command(url: str | None, only_open: bool, limit: int, as_json: bool) -> int:
    """The latest batches, the newest first."""
    with as_usage_errors():
        source = queue_at(url)
        wanted = (row for row in _rows(source.engine.batches) if not (only_open and row.finished_at is not None))
        found = list(islice(wanted, limit))
        now = source.engine.now()
    if as_json:
        for row in found:
            click.echo(json.dumps(as_plain(row)))
    elif found:
        echo_table(HEADINGS, [_cells(row, now) for row in found])
    else:
        click.echo("no batches")
    return DONE


@batches_group.command("show")
@click.argument("batch_id", metavar="ID")
@url_option
@json_option
def show_command(batch_id: str, url: str | None, as_json: bool) -> int:
    """Everything about one batch, with the first members that failed."""
    with as_usage_errors():
        source = queue_at(url)
        batch = source.get_batch(batch_id)
        row, now = batch.row(), source.engine.now()
        failed = [record.id for record in islice(batch.failed(), FAILED_SHOWN)]
    if as_json:
        click.echo(json.dumps({**as_plain(row), "failed_members": failed}))
        return DONE
    for name, value in _facts(row, now, failed).items():
        if value not in (None, ""):
            click.echo(f"{name:14} {printable(str(value))}")
    return DONE


@batches_group.command("cancel")
@click.argument("batch_ids", nargs=-1, required=True, metavar="ID...")
@url_option
def cancel_command(batch_ids: tuple[str, ...], url: str | None) -> int:
    """Cancel the members of batches that have not ended: those that run are asked to stop.

    What follows a batch in any case is put when all have ended, unless the program that filled the batch died before
    it was full.
    """
    code = DONE
    source = queue_at(url)
    for batch_id in batch_ids:
        with as_usage_errors():
            try:
                was_open = source.get_batch(batch_id).cancel()
            except UnknownBatch as error:
                click.echo(f"Error: {printable(str(error))}", err=True)
                code = SOME_FAILED
                continue
        if was_open:
            click.echo(f"{printable(batch_id)} is cancelled: workers cancel its members within two seconds")
        else:
            click.echo(f"Error: {printable(batch_id)} has finished already", err=True)
            code = SOME_FAILED
    return code


def _rows(store: Any) -> Iterator[BatchRow]:
    before = None
    while page := store.page(500, before):
        yield from page
        before = page[-1].made_at, page[-1].number


def _state(row: BatchRow) -> str:
    if row.finished_at is not None:
        return "finished" if row.ended == row.total else "runs again"
    if row.cancelled_at is not None:
        return "cancelling"
    return "running" if row.sealed else "open"


def _cells(row: BatchRow, now: float) -> list[str]:
    completed = row.ended - row.failed - row.cancelled
    counts = (row.total, completed, row.failed, row.cancelled)
    return [row.id, row.name, _state(row), *(f"{count:,}" for count in counts), length_text(now - row.made_at)]


def _facts(row: BatchRow, now: float, failed: list[str]) -> dict[str, Any]:
    moments = {
        name: None if at is None else moment(at, now)
        for name, at in (
            ("made", row.made_at),
            ("cancelled at", row.cancelled_at),
            ("finished", row.finished_at),
            ("all completed", row.then_at),
        )
    }
    follows = [f"batch:{row.number}:{which}" for which, has in _follow(row) if has]
    return {
        "id": row.id,
        "name": row.name,
        "state": _state(row),
        "members": f"{row.total:,}",
        "completed": f"{row.ended - row.failed - row.cancelled:,}",
        "failed": f"{row.failed:,}",
        "cancelled": f"{row.cancelled:,}",
        "on failure": row.on_failure,
        "parent": None if row.parent is None else f"batch-{row.parent}",
        **moments,
        "followed by": ", ".join(follows),
        "failed members": ", ".join(failed) + (" and more" if row.failed > len(failed) else ""),
    }


def _follow(row: BatchRow) -> tuple[tuple[str, bool], tuple[str, bool]]:
    return ("then", row.has_then), ("finally", row.has_finally)


def as_plain(row: BatchRow) -> dict[str, Any]:
    """The batch as JSON carries it."""
    return {"id": row.id, **row._asdict(), "state": _state(row)}
