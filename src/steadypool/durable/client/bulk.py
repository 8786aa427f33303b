"""Changes of many jobs: batch by batch, each a short transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import ChangeKind, JobFilter, JobRecord
from steadypool.durable.engine.states import WAITING, JobState

AT_ONCE = 200
"""Jobs in one transaction: others wait some ten milliseconds for it at most."""
LOOKED_AT = 5000
"""Jobs in one look, where nothing is changed."""
_GIVEN_UP = frozenset({JobState.DISCARDED, JobState.CANCELLED})
APPLIES_TO: dict[ChangeKind, frozenset[JobState]] = {
    "retry": _GIVEN_UP | {JobState.SCHEDULED, JobState.RETRYABLE},
    "cancel": WAITING | {JobState.RUNNING},
    "discard": WAITING,
}
"""In which states there is something to change."""
BY_ITSELF: dict[ChangeKind, frozenset[JobState]] = {**APPLIES_TO, "retry": frozenset({JobState.DISCARDED})}
"""Which of these are meant by a filter that names no state."""


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of many jobs."""

    found: int = 0
    """Jobs that the filter found."""
    changed: int = 0
    """Of those, the ones that were changed; 0 for a dry run."""
    asked: int = 0
    """Of the changed, the ones that run, and were asked to stop."""
    conflicts: tuple[str, ...] = field(default=())
    """Ids of jobs that were left as they are: another job has their unique key now, or is being put with it; or they
    need a job that is given up."""
    dry_run: bool = False


def check_filter(what: str, which: object) -> JobFilter:
    """Return *which*, or raise `TypeError` if it is no filter."""
    if not isinstance(which, JobFilter):
        raise TypeError(f"{what} takes a filter, such as JobFilter(task='send_email'), not {which!r}")
    return which


def change_all(engine: Engine, kind: ChangeKind, which: JobFilter, reason: str, dry_run: bool) -> BulkResult:
    """Change the jobs that are found now; those that are put meanwhile are not looked at.

    Raises:
        TypeError: *which* is no filter.
        ValueError: the filter names states of which none can be changed so.
    """
    which = with_states(kind, check_filter(f"{kind}_all", which))
    if dry_run:
        return BulkResult(sum(map(len, _pages(engine, which, LOOKED_AT))), dry_run=True)
    result, _ = change_until(engine, kind, which, reason, lambda: False)
    return result


def change_until(
    engine: Engine, kind: ChangeKind, which: JobFilter, reason: str, is_over: Callable[[], bool]
) -> tuple[BulkResult, int | None]:
    """The same, batch by batch, until *is_over* says so; and where the next call goes on (`JobFilter.below`), if there
    may be more."""
    result = BulkResult()
    left: list[JobRecord] = []
    for records in _pages(engine, which, AT_ONCE):
        result, conflicts = _change(engine, kind, which.states, reason, records, result)
        result = replace(result, found=result.found + len(records))
        left += conflicts
        if is_over():
            return _with_conflicts(result, left), records[-1].number
    if kind == "retry":  # those that need a job which has come back since can, too, or have come with it
        again, left = left[::-1], []
        for start in range(0, len(again), AT_ONCE):
            result, conflicts = _change(engine, kind, which.states, reason, again[start : start + AT_ONCE], result)
            left += conflicts
    return _with_conflicts(result, left), None


def _change(
    engine: Engine,
    kind: ChangeKind,
    states: Collection[JobState],
    reason: str,
    records: Sequence[JobRecord],
    so_far: BulkResult,
) -> tuple[BulkResult, list[JobRecord]]:
    """Change these; the sum, and those that were left as they are."""
    known = {record.number: record for record in records}
    changes = engine.change_many(kind, [(record.number, record.nonce) for record in records], reason)
    changed = so_far.changed + sum(change.changed for change in changes)
    asked = so_far.asked + sum(change.changed and change.was is JobState.RUNNING for change in changes)
    left = [known[change.number] for change in changes if not change.changed and change.was in states]
    return replace(so_far, changed=changed, asked=asked), left


def _with_conflicts(result: BulkResult, left: Sequence[JobRecord]) -> BulkResult:
    return replace(result, conflicts=tuple(record.id for record in left))


def with_states(kind: ChangeKind, which: JobFilter) -> JobFilter:
    """The filter, with those states alone of which there is something to change.

    Raises:
        ValueError: it names states, and there are none of these among them.
    """
    if which.states == frozenset(JobState):
        return replace(which, states=BY_ITSELF[kind])
    states = which.states & APPLIES_TO[kind]
    if not states:
        able = ", ".join(sorted(APPLIES_TO[kind]))
        raise ValueError(
            f"{kind}_all changes jobs that are {able}; got {', '.join(sorted(which.states)) or 'no state'}"
        )
    return replace(which, states=states)


def _pages(engine: Engine, which: JobFilter, most: int) -> Iterator[Sequence[JobRecord]]:
    """All of the jobs, the latest first."""
    records = engine.find(replace(which, limit=most))
    while records:
        yield records
        records = engine.find(replace(which, limit=most, below=records[-1].number))
