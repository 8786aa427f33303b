"""`current_job().inputs`: what a job has waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.states import JobState


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One job that the present one has waited for, as it has ended."""

    id: str
    task: str
    state: JobState
    result: Any
    """What it returned; ``None`` if it has not completed."""
    errors: tuple[AttemptError, ...] = ()
    """Of its attempts that failed, in order."""
    reason: str = ""
    """Why it was discarded or cancelled."""


def summary_of(record: JobRecord, result: Any) -> JobSummary:
    """From its record, and its result as a value."""
    return JobSummary(record.id, record.task, record.state, result, record.errors, record.reason)
