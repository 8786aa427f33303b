"""The job that is put when another is given up, as it is kept with that one: JSON, which PostgreSQL reads as well."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from steadypool.durable.engine.records import NewJob

JOB_ID, REASON = "job_id", "reason"
"""Parameters that get the id of the job that was given up, and why it was."""


def to_text(job: NewJob, parameters: frozenset[str]) -> str:
    """What is kept of *job*, whose task has these parameters."""
    return json.dumps(
        {
            "task": job.task,
            "queue": job.queue,
            "rank": -job.priority,
            "delay": job.delay or None,
            "total_timeout": job.total_timeout,
            "keep": job.keep,
            "options": None if job.options is None else b64encode(job.options).decode(),
            "tags": list(job.tags) or None,
            "arguments": b64encode(job.payload.strip()[1:-1]).decode(),
            "takes_id": JOB_ID in parameters or None,
            "takes_reason": REASON in parameters or None,
        },
        ensure_ascii=False,
    )


def job_of(text: str, job_id: str, reason: str) -> NewJob:
    """The job that is put when the one of that id is given up for that reason."""
    kept = json.loads(text)
    parts = [b64decode(kept["arguments"])]
    for name, wanted, value in ((JOB_ID, kept["takes_id"], job_id), (REASON, kept["takes_reason"], reason)):
        if wanted:
            parts.append(f"{json.dumps(name)}:{json.dumps(value)}".encode())
    return NewJob(
        kept["task"],
        b"{%b}" % b",".join(filter(None, parts)),
        kept["queue"],
        -kept["rank"],
        kept["delay"] or 0.0,
        total_timeout=kept["total_timeout"],
        keep=kept["keep"],
        options=None if kept["options"] is None else b64decode(kept["options"]),
        tags=tuple(kept["tags"] or ()),
    )
