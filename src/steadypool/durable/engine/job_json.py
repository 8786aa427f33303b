"""A job to be put, as JSON: what functions of PostgreSQL take, and what every store keeps of a job that is put later.

Two kinds of job are put later: the one that follows a batch (`durable.engine.batches`), and the one that is put when
another is given up. PostgreSQL reads what is kept in its functions, SQLite here.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from steadypool.durable.engine.records import LONGEST_SECONDS, NewJob, parts_of_id
from steadypool.durable.engine.turns import Turn

LATEST = 2.0e11
"""The year 8307."""
JOB_ID, REASON = "job_id", "reason"
"""Parameters that get the id of the job that was given up, and why it was."""
_FIELDS = ("task", "queue", "rank", "delay", "at", "id", "unique", "unique_for", "total_timeout", "keep")


def fields_of(job: NewJob) -> tuple[Any, ...]:
    """What every job has, in the terms of PostgreSQL's functions."""
    return (
        job.task,
        job.queue,
        -job.priority,
        length_of(job.delay) or None,
        None if job.at is None else min(job.at, LATEST),
        job.id,
        job.unique,
        length_of(job.unique_for),
        length_of(job.total_timeout),
        length_of(job.keep),
    )


def length_of(seconds: float | None) -> float | None:
    """A length of time that every engine can add to its clock."""
    return None if seconds is None else float(min(seconds, LONGEST_SECONDS))


def as_json(jobs: Sequence[NewJob]) -> str:
    """Jobs, as functions of PostgreSQL take them: what every driver can send."""
    return _encoded([as_object(job) for job in jobs])


def as_object(job: NewJob) -> dict[str, Any]:
    """One of them, before it is text."""
    return {
        **dict(zip(_FIELDS, fields_of(job), strict=True)),
        # In letters that every encoding has: the connection may be in another than the database.
        "payload": b64encode(job.payload).decode(),
        "options": None if job.options is None else b64encode(job.options).decode(),
        **_more(job),
    }


def _more(job: NewJob) -> dict[str, Any]:
    """What most jobs do not have."""
    more: dict[str, Any] = {"tags": list(job.tags)} if job.tags else {}
    if job.on_discarded is not None:
        more["on_discarded"] = job.on_discarded
    if job.turn is not None:
        more |= job.turn._asdict()
    if job.after:
        more |= {"after": [_before(before) for before in job.after], "needs": job.needs}
    if job.batch is not None:
        more["batch"] = job.batch
    if job.on_taken != "keep":
        more |= {"on_taken": job.on_taken, "at_most": length_of(job.at_most)}
    return more


def _before(before: str | int) -> Any:
    """As ``put_linked`` has it."""
    if isinstance(before, int):
        return before
    number, nonce = parts_of_id(before)
    return before if number is None else [number, nonce]


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# -- jobs that are put later


def kept_as(job: NewJob | None) -> str | None:
    """What is kept of a job that follows a batch."""
    return None if job is None else _encoded({name: it for name, it in as_object(job).items() if it is not None})


def from_kept(text: str, job_id: str) -> NewJob:
    """The job again, under that id."""
    kept = json.loads(text)
    return _job(kept, b64decode(kept["payload"]), job_id)


def kept_for_discard(job: NewJob, parameters: frozenset[str]) -> str:
    """What is kept of a job that is put when another is given up, and whose task has these parameters."""
    kept = as_object(job._replace(at=None, on_discarded=None, turn=None))
    kept["arguments"] = b64encode(b64decode(kept.pop("payload")).strip()[1:-1]).decode()
    return _encoded({**kept, "takes_id": JOB_ID in parameters or None, "takes_reason": REASON in parameters or None})


def from_kept_for_discard(text: str, job_id: str, reason: str) -> NewJob:
    """The job that is put when the one of that id is given up for that reason."""
    kept = json.loads(text)
    parts = [b64decode(kept["arguments"])]
    for name, wanted, value in ((JOB_ID, kept["takes_id"], job_id), (REASON, kept["takes_reason"], reason)):
        if wanted:
            parts.append(f"{json.dumps(name)}:{json.dumps(value)}".encode())
    return _job(kept, b"{%b}" % b",".join(filter(None, parts)))


def _job(kept: Mapping[str, Any], payload: bytes, job_id: str | None = None) -> NewJob:
    options = kept.get("options")
    return NewJob(
        kept["task"],
        payload,
        kept["queue"],
        -kept["rank"],
        kept.get("delay") or 0.0,
        kept.get("at"),
        job_id,
        total_timeout=kept.get("total_timeout"),
        keep=kept["keep"],
        options=None if options is None else b64decode(options),
        tags=tuple(kept.get("tags") or ()),
        on_discarded=kept.get("on_discarded"),
        turn=Turn(kept["gates"], kept["lane"]) if "gates" in kept else None,
    )
