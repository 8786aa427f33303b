"""One job as another one sees it: in `current_job().inputs`, and among the members of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from steadypool.durable.client.home import ResultDecoder
from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.states import JobState


@dataclass(frozen=True, slots=True)
class JobSummary:
    """What became of one job so far. `Queue.record` says more of it."""

    id: str
    task: str
    state: JobState
    result: Any
    """What it returned, in the type that its task returns; ``None`` if it has not completed."""
    errors: tuple[AttemptError, ...] = ()
    """Of its attempts that failed, in order."""
    reason: str = ""
    """Why it was discarded or cancelled."""


def summary_of(record: JobRecord, tasks: Mapping[str, ResultDecoder]) -> JobSummary:
    """From its record. Where *tasks* do not have its task, its result is as JSON has it."""
    result = None
    if record.result is not None:
        task = tasks.get(record.task)
        result = msgspec.json.decode(record.result) if task is None else task.decode_result(record.result)
    return JobSummary(record.id, record.task, record.state, result, record.errors, record.reason)
