"""What travels: values for the functions, and records made of their rows."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from steadypool.durable.engine.job_json import fields_of, length_of
from steadypool.durable.engine.links import unknown_before
from steadypool.durable.engine.postgres.characters import text_of
from steadypool.durable.engine.records import (
    AttemptError,
    Claim,
    EnqueueResult,
    JobRecord,
    NewJob,
    Settlement,
    Verdict,
    public_id,
)
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.turns import Turn, set_of


def bigints(values: Iterable[int]) -> str:
    """An array, as text: faster than to have each value looked at for its size."""
    return f"{{{','.join(map(str, values))}}}"


# -- putting


def columns_of(jobs: Sequence[NewJob]) -> list[Any]:
    """The arguments of ``put_jobs``, the columns: one whose values are all alike is sent as one."""
    return [
        [job.payload for job in jobs],
        *map(_column, zip(*map(fields_of, jobs), strict=True)),
        None if all(job.options is None for job in jobs) else [job.options for job in jobs],
    ]


PLAIN, MORE, EACH, LINKED = range(4)
"""By which function jobs are put: ``put``, ``put_jobs``, and these:"""
BY_JSON = {EACH: "put_each", LINKED: "put_linked"}
_MORE = NewJob._fields.index("tags")
_NO_MORE = NewJob("", b"")[_MORE:]


def puts_by(jobs: Sequence[NewJob]) -> int:
    """The first of these that can put the jobs."""
    more = [job[_MORE:] for job in jobs]
    if more.count(_NO_MORE) == len(more):
        return PLAIN
    if any(job.after or job.batch is not None for job in jobs):
        return LINKED
    return EACH if any(job.on_taken != "keep" for job in jobs) else MORE


def placed_each(found: Iterable[Sequence[Any]]) -> list[EnqueueResult]:
    """The answer of those that return a row for each job.

    Raises:
        UnknownJob: a job was to wait for one that is not there.
    """
    return [EnqueueResult(*row) if row[0] is not None else _raise_unknown(row[2]) for row in found]


def _raise_unknown(job_id: str) -> EnqueueResult:
    raise unknown_before(job_id)


def more_columns_of(jobs: Sequence[NewJob]) -> list[list[Any] | None]:
    """The last four: tags, each as the text of an array, what is put when the job is given up, and its turn."""
    return [
        _column(tuple(_array(job.tags) if job.tags else None for job in jobs)),
        _column(tuple(job.on_discarded for job in jobs)),
        _column(tuple(job.turn and job.turn.gates for job in jobs)),
        _column(tuple(job.turn and job.turn.lane for job in jobs)),
    ]


def _array(texts: Sequence[str]) -> str:
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f"{{{','.join(f'{chr(34)}{text}{chr(34)}' for text in escaped)}}}"


def _column(values: tuple[Any, ...]) -> list[Any] | None:
    first = values[0]
    if values.count(first) != len(values):
        return list(values)
    return None if first is None else [first]


def placed_of(jobs: Sequence[NewJob], answer: Sequence[Any]) -> list[EnqueueResult]:
    """The answer of ``put``."""
    numbers, nonce, taken, owner_nonces, owners = answer
    placed = [
        EnqueueResult(number, nonce, public_id(number, nonce, job.id), True)
        for number, job in zip(numbers, jobs, strict=True)
    ]
    for at, owner_nonce, chosen in zip(taken, owner_nonces or (), owners or (), strict=True):
        number, nonce = numbers[at - 1], owner_nonce or 0  # the record is gone, and its key still holds
        placed[at - 1] = EnqueueResult(number, nonce, public_id(number, nonce, chosen), False)
    return placed


# -- settling


def settle_values(settlements: Sequence[Settlement], encoding: str) -> list[Any]:
    """The arguments of ``settle`` for these, in a database of that encoding: their leases, the completed as arrays, the
    others as JSON; both ordered by number.

    That order is the one in which rows are locked, so no two calls wait for each other.
    """
    ordered = sorted(settlements, key=lambda settlement: settlement.claim.number)
    under = bigints({settlement.claim.lease for settlement in ordered})
    if len({settlement.claim.number for settlement in ordered}) < len(ordered):
        # The same job twice: in their order, which the arrays do not keep.
        return [under, "{}", "{}", "{}", None, _others_as_json(ordered, encoding)]
    completed = [settlement for settlement in ordered if settlement.verdict is Verdict.COMPLETE]
    others = [settlement for settlement in ordered if settlement.verdict is not Verdict.COMPLETE]
    results = [settlement.result for settlement in completed]
    return [
        under,
        bigints(settlement.claim.number for settlement in completed),
        bigints(settlement.claim.token for settlement in completed),
        bigints(settlement.claim.lease for settlement in completed),
        results if any(result is not None for result in results) else None,
        _others_as_json(others, encoding) if others else None,
    ]


def _others_as_json(settlements: Sequence[Settlement], encoding: str) -> str:
    return json.dumps([_as_object(settlement, encoding) for settlement in settlements], ensure_ascii=False)


def _as_object(settlement: Settlement, encoding: str) -> dict[str, Any]:
    error, note = settlement.error, settlement.note
    why = {} if error is None else _error_as_object(error, encoding)
    return {
        "number": settlement.claim.number,
        "token": settlement.claim.token,
        "lease": settlement.claim.lease,
        "verdict": settlement.verdict.value,
        "result": None if settlement.result is None else b64encode(settlement.result).decode(),
        "delay": length_of(settlement.delay),
        "reason": text_of(settlement.reason, encoding),
        "crashed": settlement.crashed,
        **({} if settlement.turn is None else settlement.turn._asdict()),
        **({"aside": True} if settlement.aside else {}),
        **({} if note is None else {"saves": note.saves, "state": b64encode(note.state).decode()}),
        **why,
    }


def _error_as_object(error: AttemptError, encoding: str) -> dict[str, Any]:
    return {
        "attempt": error.attempt,
        "outcome": error.outcome,
        "type_name": text_of(error.type_name, encoding),
        "message": text_of(error.message, encoding),
        "traceback": text_of(error.traceback, encoding),
    }


def pairs(flat: Sequence[int]) -> frozenset[tuple[int, int]]:
    """``(number, lease)`` of refused settlements; ``(lease, number)`` of what is out."""
    return frozenset(zip(flat[::2], flat[1::2], strict=True))


def cancels_of(flat: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """``(number, nonce)`` of jobs that are to be cancelled: all of the ones, and then all of the others."""
    half = len(flat) // 2
    return tuple(zip(flat[:half], flat[half:], strict=True))


# -- reading

RECORD = (
    "number, nonce, id, task, queue, state, priority, attempt, crashes, losses, enqueued_at, due_at, ended_at, "
    "payload, result, reason, cancelling, tags, worker, started_at, gates, lane"
)
BARE_RECORD = RECORD.replace("payload, result", "NULL::bytea, NULL::bytea")
"""The same without what may be large."""
ERROR = "attempt, outcome, type_name, message, traceback, at, worker, started_at"


def claims_of(rows: Sequence[Sequence[Any]], queues: Sequence[str]) -> list[Claim]:
    """The claims, in the order in which they were to be given: rows of one statement have none."""
    place = {queue: position for position, queue in enumerate(queues)}
    return _claims_of(sorted(rows, key=lambda row: (place[row[9]], row[10], row[0])))


def claims_in_turn(rows: Sequence[Sequence[Any]], gates: int) -> list[Claim]:
    """Claims from lanes, in their order; gates and lane stand in that column and the next."""
    turns = [Turn(row[gates], row[gates + 1]) for row in rows]
    return [claim._replace(turn=turn) for claim, turn in zip(_claims_of(rows), turns, strict=True)]


def stops_of(
    rows: Sequence[Sequence[Any]], gates: int, sets: Sequence[str], stops: Sequence[str | None]
) -> dict[str, str]:
    """Where a look at lanes has stopped: at the last job of each set of gates, or behind it."""
    last = {set_of(row[9], row[gates]): row[gates + 1] for row in rows}
    return last | {name: stop for name, stop in zip(sets, stops, strict=True) if stop is not None}


def _claims_of(ordered: Sequence[Sequence[Any]]) -> list[Claim]:
    return [
        Claim(
            number,
            nonce,
            public_id(number, nonce, chosen),
            token,
            lease,
            attempt,
            crashes,
            losses,
            task,
            queue,
            payload,
            options,
            left,
        )
        for number, nonce, chosen, token, lease, attempt, crashes, losses, task, queue, _, payload, options, left in (
            row[:14] for row in ordered
        )
    ]


def record_of(row: Sequence[Any]) -> JobRecord:
    """From the columns of `RECORD`."""
    number, nonce, job_id, task, queue, state, priority, attempt, crashes, losses, *rest = row
    enqueued, due, ended, payload, result, reason, cancelling, tags, worker, started, gates, lane = rest
    return JobRecord(
        number,
        nonce,
        job_id,
        task,
        queue,
        JobState(state),
        priority,
        attempt,
        crashes,
        losses,
        enqueued.timestamp(),
        due_at=_moment(due),
        ended_at=_moment(ended),
        payload=payload,
        result=result,
        reason=reason,
        cancelling=cancelling,
        worker=worker,
        started_at=_moment(started),
        tags=tuple(tags or ()),
        turn=None if gates is None else Turn(gates, lane),
    )


def record_saved(row: Sequence[Any]) -> JobRecord:
    """The same, from those columns and what the job has saved, and when."""
    *columns, saved, at = row
    return replace(record_of(columns), checkpoint=saved, saved_at=_moment(at))


def error_of(row: Sequence[Any]) -> AttemptError:
    """From the columns of `ERROR`."""
    attempt, outcome, type_name, message, traceback, at, worker, started = row
    return AttemptError(attempt, outcome, type_name, message, traceback, at.timestamp(), worker, _moment(started))


def _moment(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()
