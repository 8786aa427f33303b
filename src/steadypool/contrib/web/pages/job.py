"""Everything about one job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from steadypool.contrib.web import programs
from steadypool.contrib.web.answer import not_found
from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.shown import HIDDEN, arguments_of, line
from steadypool.durable.client.bulk import APPLIES_TO
from steadypool.durable.engine.attempts import after_retries, retries_before, retries_of
from steadypool.durable.engine.links import Link
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, JobRecord, public_id, tick_of_id
from steadypool.durable.engine.states import ENDED, JobState
from steadypool.durable.engine.why_idle import why_idle, why_waits

LONGEST_ID = 1000
STACK_FOR = 2.0
MOST_LINKS = 20


class Before(NamedTuple):
    """A job that this one waits for, and its record, if there is one."""

    link: Link
    record: JobRecord | None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has happened to it."""

    at: float
    what: str
    kind: str
    """For its colour: a state, or an outcome."""
    details: str = ""
    error: AttemptError | None = None


def page(look: Look) -> Page:
    """The page."""
    job_id = look.request.query.get("id").strip()
    record = look.reader.read(("job", job_id), lambda engine: _found(engine, job_id))
    if record is None:
        raise not_found(f"there is no job {line(job_id)!r}, or its record was pruned")
    stack = ""
    if record.state is JobState.RUNNING:
        shows = look.arguments == "shown"
        stack = look.reader.cache.get(
            ("stack", record.id, shows), lambda: programs.stack_of(record.id, shows), STACK_FOR
        )
    now = look.now()
    values = {
        "job": record,
        "steps": list(_steps(record)),
        "batch": look.reader.read(("of", record.number), lambda engine: engine.batches.of_job(record.number)),
        "links": look.reader.read(("links", record.number), lambda engine: _links(engine, record)),
        "held_by": look.reader.read(("held", record.id), lambda engine: list(_held_by(engine, record))),
        "arguments": arguments_of(record, look.arguments),
        "are_hidden": HIDDEN,
        "tick": tick_of_id(record.id),
        "actions": [action for action, states in APPLIES_TO.items() if record.state in states],
        "stack": stack,
        "now": now,
    }
    return Page("job", f"{line(record.task, 80)}", values, moves=record.state not in ENDED)


def _found(engine: Engine, job_id: str) -> JobRecord | None:
    return engine.get(job_id) if job_id and len(job_id) <= LONGEST_ID else None


def _links(engine: Engine, record: JobRecord) -> list[Before]:
    """What it waits for, or has waited for."""
    links = engine.links.before(record.number, MOST_LINKS)
    return [Before(link, engine.get(public_id(link.number, link.nonce, None))) for link in links]


def _steps(record: JobRecord) -> Iterator[Step]:
    """What has happened, in order."""
    yield Step(record.enqueued_at, "put", "scheduled", f"into the queue {line(record.queue, 80)}")
    for error, retries in zip(record.errors, retries_before(record.errors), strict=True):
        attempt = f"attempt {error.attempt}{after_retries(retries)}"
        on = f" on {line(error.worker, 80)}" if error.worker else ""
        if error.started_at is not None:
            yield Step(error.started_at, f"{attempt} began", "running", on.strip())
        yield Step(error.at, f"{attempt} {error.outcome.replace('_', ' ')}", error.outcome, error=error)
    is_after = not record.errors or record.errors[-1].started_at != record.started_at
    if record.started_at is not None and is_after:
        where = f"on {line(record.worker, 80)}" if record.worker else ""
        attempt = f"attempt {record.attempt}{after_retries(retries_of(record))}"
        yield Step(record.started_at, f"{attempt} began", "running", where)
    if record.ended_at is not None:
        yield Step(record.ended_at, record.state.value, record.state.value, line(record.reason))


def _held_by(engine: Engine, record: JobRecord) -> Iterator[str]:
    """Why it does not run now."""
    return map(line, chain(why_waits(record), why_idle(engine, record)))
