"""Jobs made of rows of arguments, in batches of which each is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from steadypool.durable.client.call import check_has_input
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import PayloadRefused
from steadypool.durable.engine.records import NewJob

ROWS_AT_ONCE = 1000
"""Jobs of `Queue.enqueue_many` in one transaction."""
BYTES_AT_ONCE = 8_000_000
"""Of their arguments: a transaction that brings more is long, and so is its way over a line."""


def batches_of(task: DurableTask[Any, Any], rows: Iterable[object]) -> Iterator[list[NewJob]]:
    """A job for each row, which are read lazily.

    Raises:
        PayloadRefused, TypeError: naming the row that cannot be stored, or is none.
    """
    batch: list[NewJob] = []
    size = 0
    for number, row in enumerate(rows):
        job = _job_of_row(task, number, row)
        batch.append(job)
        size += len(job.payload)
        if len(batch) == ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _job_of_row(task: DurableTask[Any, Any], number: int, row: object) -> NewJob:
    try:
        if isinstance(row, tuple):
            return check_has_input(task.new_job(row, {}))
        if isinstance(row, Mapping):
            return check_has_input(task.new_job((), row))
    except PayloadRefused as error:
        raise PayloadRefused(f"row {number}: {error}", argument=error.argument) from None
    raise TypeError(f"row {number} must be a tuple of arguments such as (1,), or a mapping of keywords, not {row!r}")
