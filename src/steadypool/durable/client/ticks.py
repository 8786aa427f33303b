"""From a schedule to what the engine keeps of it, and from a tick to its job."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from steadypool.durable.client.call import Call
from steadypool.durable.client.schedule import Schedule, hash_of, read_definition
from steadypool.durable.engine.records import NewJob, tick_id
from steadypool.durable.engine.schedules import Firing, NewSchedule, ScheduleRow
from steadypool.model.checks import as_seconds
from steadypool.rules.missed_ticks import NEVER, decide


def kept_as(name: str, schedule: Schedule, job: str, now: float, *, in_code: bool = False) -> NewSchedule:
    """What the engine keeps; its first tick comes after *now*."""
    definition = schedule.definition()
    due = due_after(schedule, name, now)
    return NewSchedule(name, in_code, definition, job, hash_of(definition, job), due)


def due_after(schedule: Schedule, name: str, now: float) -> float:
    """When the next job of the schedule is to be put."""
    offset = schedule.offset(name)
    tick = schedule.next_after(now - offset)
    return now + NEVER if tick is None else tick + offset


def next_ticks(row: ScheduleRow, now: float, count: int) -> list[datetime]:
    """Its next ticks, in its zone: those that are due included."""
    schedule = read_definition(row.definition)
    offset = schedule.offset(row.name)
    tick: float | None = schedule.next_after(now - offset) if row.paused or row.retired_at else row.due - offset
    ticks: list[datetime] = []
    while tick is not None and len(ticks) < count:
        ticks.append(schedule.local(tick))
        tick = schedule.next_after(tick)
    return ticks


def firing_of(row: ScheduleRow, now: float) -> Firing:
    """What becomes of those of its ticks that are due.

    Raises:
        ValueError: another version of Steadypool has written the row, and this one cannot read it.
    """
    schedule = read_definition(row.definition)
    offset = schedule.offset(row.name)
    first = row.due - offset
    decision = decide(first, now - offset, schedule.next_after, schedule.missed, as_seconds(schedule.within))
    run, skipped, reason = decision.run, decision.skipped, decision.reason
    if schedule.overlap != "allow" and len(run) > 1:
        kept = run[:1] if schedule.overlap == "skip" else run[-1:]
        skipped, reason = skipped + len(run) - 1, f"overlap: {len(run)} ticks came at once"
        run = kept
    jobs = tuple(job_of(row, schedule, tick) for tick in run)
    last = max((first, *decision.run))
    new_due = decision.next + offset
    return Firing(row.name, row.due, row.hash, new_due, last + offset, jobs, schedule.overlap, skipped, reason)


def by_hand(row: ScheduleRow, now: float) -> Firing:
    """One job now; its ticks stay as they are."""
    schedule = read_definition(row.definition)
    job = job_of(row, schedule, now)
    return Firing(row.name, row.due, row.hash, row.due, None, (job,), schedule.overlap, by_hand=True)


def job_of(row: ScheduleRow, schedule: Schedule, tick: float) -> NewJob:
    """The job of one tick. Its id says which one it is, so that there is no other."""
    job = Call.from_json(row.job).job
    options = {} if job.options is None else msgspec.json.decode(job.options)
    options["schedule"] = {"name": row.name, "at": tick, "tz": schedule.tz}
    moment = datetime.fromtimestamp(tick, UTC)
    return job._replace(id=tick_id(row.name, moment), options=msgspec.json.encode(options))
