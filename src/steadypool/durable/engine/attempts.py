"""What the recorded attempts of a job say of retries by hand: its attempts are counted anew after each."""

from __future__ import annotations

from collections.abc import Sequence

from steadypool.durable.engine.records import AttemptError, JobRecord
from steadypool.durable.engine.states import JobState
from steadypool.model.states import Outcome

_HAS_NO_ERROR = (JobState.RUNNING, JobState.COMPLETED)
"""States of a job whose last attempt has left no error."""


def retries_before(errors: Sequence[AttemptError]) -> list[int]:
    """How often the job had been retried by hand before each of these attempts."""
    found: list[int] = []
    count = last = 0
    for error in errors:
        if error.outcome != Outcome.RETURNED.value:  # which has spent no attempt
            count += error.attempt <= last
            last = error.attempt
        found.append(count)
    return found


def retries_of(record: JobRecord) -> int:
    """How often it had been retried by hand before its present attempt, or its last one."""
    count = max(retries_before(record.errors), default=0)
    attempts = [error.attempt for error in record.errors if error.outcome != Outcome.RETURNED.value]
    last = attempts[-1] if attempts else 0
    return count + (record.attempt < last or (record.attempt == last > 0 and record.state in _HAS_NO_ERROR))


def after_retries(count: int) -> str:
    """Behind the number of an attempt; empty if there was none."""
    if not count:
        return ""
    return " (after retry by hand)" if count == 1 else f" (after {count} retries by hand)"
