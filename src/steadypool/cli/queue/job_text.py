"""What ``steadypool jobs`` says of jobs and queues: ages and local times, and nothing that a terminal would obey.

A column of ``jobs list`` is a heading in `HEADINGS` and a cell in `cells_of`; ``jobs show`` says what `lines_of` gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from steadypool.cli.queue.output import moment
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.attempts import after_retries, retries_before, retries_of
from steadypool.durable.engine.links import Link
from steadypool.durable.engine.records import JobRecord, WorkerRow, public_id, tick_of_id
from steadypool.durable.engine.states import ENDED, JobState
from steadypool.durable.engine.turns import Turn
from steadypool.durable.engine.why_idle import Surroundings, why_waits
from steadypool.model.printable import printable, printable_lines
from steadypool.model.quantities import length_text, progress_text
from steadypool.model.queue_depth import MOST_COUNTED, QueueDepth

LONGEST_ARGUMENTS = 60
LONGEST_ERROR = 80
HEADINGS = ("id", "state", "task", "queue", "attempt", "age", "when", "arguments", "reason")
WORKER_HEADINGS = ("worker", "queues", "running", "since", "lease")
Before = tuple[Link, JobRecord | None]
"""A job that another waits for, with its record if there is one."""
_NOT_SHOWN = ("errors", "last_error", "number", "nonce", "turn")
_LABELS = {"payload": "arguments"}
"""What a field of the record is called, if not by its name."""
_MOMENTS = ("enqueued_at", "due_at", "running_since", "started_at", "ended_at", "saved_at")


# -- jobs


def cells_of(record: JobRecord, now: float, reason: str) -> list[str]:
    """A row of the list, under `HEADINGS`; *reason*: what `reason_of` says."""
    return [
        record.id,
        f"{record.state.value}, cancelling" if record.cancelling else record.state.value,
        record.task,
        record.queue,
        str(record.attempt),
        length_text(now - record.enqueued_at),
        _when(record, now),
        _arguments(record),
        reason,
    ]


def reason_of(record: JobRecord, around: Surroundings, awaited: str) -> str:
    """Why the job does not run, or has failed, in a few words; *awaited*: what it waits for."""
    if record.state is JobState.WAITING:
        return f"waits for {awaited}"
    moves = record.state in (JobState.AVAILABLE, JobState.RUNNING)
    sentences = chain(why_waits(record), around.why_idle(record) if moves else ())
    sentence = next(sentences, "").partition(". ")[0].rstrip(".")
    why = sentence[:1].lower() + sentence[1:] or _error(record)
    return _cut(why or (record.reason if record.state in ENDED else ""), LONGEST_ERROR)


def _when(record: JobRecord, now: float) -> str:
    if record.state is JobState.RUNNING and record.running_since is not None:
        how_far = f", at {progress_text(record.progress)}" if record.progress else ""
        return f"for {length_text(now - record.running_since)} on {record.worker}{how_far}"
    if record.due_at is not None and record.due_at > now:
        return f"due in {length_text(record.due_at - now)}"
    return "" if record.ended_at is None else f"ended {length_text(now - record.ended_at)} ago"


def _arguments(record: JobRecord) -> str:
    text = "" if record.payload is None else record.payload.decode(errors="backslashreplace")
    return _cut(text, LONGEST_ARGUMENTS)


def _error(record: JobRecord) -> str:
    error = record.last_error
    if error is None or record.state is JobState.COMPLETED:
        return ""
    return _cut(f"{error.type_name or error.outcome}: {error.message.partition(chr(10))[0]}", LONGEST_ERROR)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def lines_of(record: JobRecord, now: float, before: Sequence[Before] = (), notes: Sequence[str] = ()) -> Iterator[str]:
    """Everything about one job; *before*: what it waits for; *notes*: what `why_idle` says."""
    for name, value in asdict(record).items():
        if name not in _NOT_SHOWN and value not in (None, "", False, ()):
            more = after_retries(retries_of(record)) if name == "attempt" else ""
            yield f"{_LABELS.get(name, name):14} {printable(_shown(name, value, now))}{more}"
    if record.turn is not None:
        yield from _turn(record.turn)
    tick = tick_of_id(record.id)
    if tick is not None:
        yield f"{'schedule':14} {printable(tick[0])}, for {moment(tick[1].timestamp(), now)}"
    yield from map(_waits_for, before)
    yield from (f"{'note':14} {printable(note)}" for note in notes)
    for error, retries in zip(record.errors, retries_before(record.errors), strict=True):
        ran = "" if error.started_at is None else f" on {error.worker}, begun {moment(error.started_at, now)}"
        message = error.message.partition("\n")[0] if error.traceback else error.message  # which ends with all of it
        what = ": ".join(filter(None, (error.outcome, error.type_name, message)))
        head = f"attempt {error.attempt}{after_retries(retries)}{ran}, ended {moment(error.at, now)}: {what}"
        yield f"\n{printable(head)}"
        if error.traceback:
            yield printable_lines(error.traceback.rstrip())


def _waits_for(before: Before) -> str:
    link, record = before
    what = "waits for" if link.state == "open" else "waited for"
    other = public_id(link.number, link.nonce, None) if record is None else record.id
    state = "its record was pruned" if record is None else record.state.value
    needs = "" if link.needs == "success" else ", however it ends"
    return f"{what:14} {printable(other)} ({state}){needs}"


def _turn(turn: Turn) -> Iterator[str]:
    """Which limits it has to pass, and its lane."""
    limits = ", ".join(f"{name}, key {key!r}" if key else name for name, key in turn.pairs)
    for name, text in (("limits", limits), ("lane", turn.own_lane)):
        if text:
            yield f"{name:14} {printable(text)}"


def _shown(name: str, value: Any, now: float) -> str:
    if name in _MOMENTS:
        return moment(value, now)
    if name == "progress":
        return progress_text(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value) if isinstance(value, str) else json.dumps(value)


# -- workers and queues


def worker_cells(worker: WorkerRow, now: float) -> list[str]:
    """A row of the workers, under `WORKER_HEADINGS`."""
    queues = "not known" if worker.queues is None else _cut(", ".join(worker.queues), LONGEST_ARGUMENTS)
    lease = "held" if worker.alive else "over"
    return [worker.name, queues, f"{worker.running:,}", length_text(now - worker.since), lease]


def depth_of(queue: Queue, name: str) -> QueueDepth:
    """What the named queue holds."""
    [depth] = queue.engine.depths([name])
    return depth


def held_by(depth: QueueDepth) -> str:
    """What a queue that was paused or resumed holds: one that was spelt wrongly holds nothing."""
    states = ("available", "scheduled", "waiting", "retryable", "running")
    counts = {state: getattr(depth, state) or 0 for state in states}
    if not any(counts.values()):
        return "no job is in it now" + ("" if depth.discarded else "; is that its name? See steadypool jobs stats")
    return ", ".join(_count(count, state) for state, count in counts.items() if count)


def _count(count: int, state: str) -> str:
    return f"{count:,} {state}" if count < MOST_COUNTED else f"{count:,} {state} or more"
