"""What is known of jobs beside their rows: who runs them since when and how far, and why their attempts failed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.states import JobState

Errors = Iterable[tuple[int, AttemptError]]
"""Each with the number of its job."""


def with_details(
    records: Sequence[JobRecord],
    holders: Callable[[Sequence[int]], Iterable[Sequence[Any]]],
    last_errors: Callable[[Sequence[int]], Errors],
) -> list[JobRecord]:
    """The records, with all of that but for earlier errors.

    Args:
        records: the records.
        holders: of these jobs, who runs each, since when, and how far it is, as JSON.
        last_errors: why each of these jobs failed last, if one has.
    """
    running = [record.number for record in records if record.state is JobState.RUNNING]
    failed = [record.number for record in records if record.attempt]
    held = {
        number: {
            "worker": worker,
            "running_since": since,
            "started_at": since,
            "progress": None if progress is None else tuple(json.loads(progress)),
        }
        for number, worker, since, progress in (holders(running) if running else ())
    }
    errors = dict(last_errors(failed) if failed else ())
    return [replace(one, **held.get(one.number, {}), last_error=errors.get(one.number)) for one in records]


def with_errors(records: Sequence[JobRecord], errors: Errors) -> list[JobRecord]:
    """The records, each with its errors."""
    by_job = defaultdict[int, list[AttemptError]](list)
    for job, error in errors:
        by_job[job].append(error)
    return [replace(record, errors=tuple(by_job[record.number])) for record in records]
