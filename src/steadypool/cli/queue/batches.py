"""``steadypool batches``: look at batches, and cancel them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import click

from steadypool.cli.option_types import COUNT
from steadypool.cli.queue.output import change_each, echo_facts, echo_json, echo_list, moment
from steadypool.cli.queue.target import as_usage_errors, group_url_option, json_option, queue_at, url_option
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.batches import BatchRow
from steadypool.durable.engine.errors import UnknownBatch, WrongState
from steadypool.model.quantities import length_text

HEADINGS = ("id", "name", "state", "members", "completed", "failed", "cancelled", "age")
FAILED_SHOWN = 10


@click.group("batches")
@group_url_option
def batches_group() -> None:
    """Look at batches of durable jobs, and cancel them.

    \b
        steadypool batches list --url sqlite:///jobs.db
        steadypool batches show batch-7
        steadypool batches cancel batch-7
    """


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
        return echo_json(*map(as_plain, found))
    return echo_list(HEADINGS, found, lambda row: _cells(row, now), "no batches")


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
        return echo_json({**as_plain(row), "failed_members": failed})
    return echo_facts(_facts(row, now, failed))


@batches_group.command("cancel")
@click.argument("batch_ids", nargs=-1, required=True, metavar="ID...")
@url_option
def cancel_command(batch_ids: tuple[str, ...], url: str | None) -> int:
    """Cancel the members of batches that have not ended: those that run are asked to stop.

    What follows a batch in any case is put when all have ended, unless the program that filled the batch died before
    it was full.
    """
    return change_each(batch_ids, partial(_cancel, queue_at(url)), (UnknownBatch, WrongState))


def _cancel(queue: Queue, batch_id: str) -> str:
    if not queue.get_batch(batch_id).cancel():
        raise WrongState(f"{batch_id} has finished already")
    return "is cancelled: workers cancel its members within two seconds"


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
