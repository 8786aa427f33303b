"""What the conformance tests do over and over."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, Claim, JobRecord, NewJob, Settlement, Verdict

QUEUES = ["default"]
LONG = 60.0
"""Seconds of a lease that does not run out in a test."""


def job(task: str = "app.work", payload: bytes = b'{"a":[1]}', **more: object) -> NewJob:
    """A job to put."""
    return NewJob(task, payload, **more)  # type: ignore[arg-type]


def put(engine: Engine, **more: object) -> str:
    """Put one job; returns its id."""
    [placed] = engine.put_many([job(**more)])  # type: ignore[arg-type]
    assert placed.enqueued
    return placed.id


def worker(engine: Engine, seconds: float = LONG) -> int:
    """Register a worker."""
    return engine.register("tester", seconds)


def take(engine: Engine, who: int, limit: int = 10, queues: list[str] | None = None) -> list[Claim]:
    """Claim."""
    return list(engine.claim(who, queues or QUEUES, limit).claims)


def record(engine: Engine, job_id: str) -> JobRecord:
    """What the engine knows of the job."""
    found = engine.get(job_id)
    assert found is not None, job_id
    return found


def complete(claim: Claim, result: bytes = b"null") -> Settlement:
    return Settlement(claim, Verdict.COMPLETE, result=result)


def again(claim: Claim, delay: float = 0.0, *, crashed: bool = False) -> Settlement:
    return Settlement(claim, Verdict.RETRY, error=failure(claim), delay=delay, crashed=crashed)


def give_up(claim: Claim, reason: str = "no retry left") -> Settlement:
    return Settlement(claim, Verdict.DISCARD, error=failure(claim), reason=reason)


def give_back(claim: Claim, delay: float = 0.0) -> Settlement:
    return Settlement(claim, Verdict.RETURN, delay=delay)


def cancelled(claim: Claim) -> Settlement:
    return Settlement(claim, Verdict.CANCEL)


def failure(claim: Claim) -> AttemptError:
    return AttemptError(claim.attempt, "failed", "builtins.ValueError", "no", "Traceback …")
