"""What becomes of an attempt: a pure decision. Pools say how it ended; this says what the queue records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steadypool.durable.engine.errors import ArgumentsUnfit, ResultUnfit, TaskNotHere
from steadypool.durable.engine.records import LONGEST_SECONDS, AttemptError, Claim, Settlement, Verdict
from steadypool.durable.engine.texts import LONGEST_MESSAGE, LONGEST_NAME, LONGEST_TRACEBACK, storable
from steadypool.model.error_text import message, traceback_text, type_name
from steadypool.model.errors import RemoteError
from steadypool.model.options import Retry
from steadypool.model.states import Outcome
from steadypool.rules.retry import backoff, next_delay

NOT_SHOWN = "(its text is not shown: it would take too long)"
TEXTS = "steadypool_texts"
"""The attribute in which an error carries its texts, once they were had."""
Texts = tuple[str, str, str]
LARGEST_RESULT = 500_000_000
"""Bytes: what is twice as large has no room in a value of SQLite's or PostgreSQL's, nor has this one in a dump."""
OF_ANOTHER_VERSION = (ArgumentsUnfit, TaskNotHere)
"""What says of a job that it is not for this worker's version of the program."""
UNFIT_DELAY, UNFIT_LONGEST = 30.0, 600.0
"""Seconds for which a job goes back that does not fit the task as this worker has it: a newer one may come."""
AFTER_CRASH = Retry(attempts=2, backoff=0.5, max_backoff=30.0)
"""How long a job waits that has killed its process, so that a crash loop is slow."""


@dataclass(frozen=True, slots=True)
class CrashLimits:
    """How often a job may take its process, or its worker, with it."""

    crashes: int = 3
    """Its own process died: it is to blame, and discarded when it has done so this often."""
    losses: int = 25
    """It was lost with its whole worker: most likely no fault of its own, so it may be often."""


class AttemptEnd(NamedTuple):
    """How an attempt has ended."""

    outcome: Outcome
    """As the pool says."""
    error: BaseException | None = None
    """What the pool's future raises."""
    result: bytes | None = None
    """What it returned, encoded."""


def settlement_of(claim: Claim, end: AttemptEnd, retry: Retry | None, caps: CrashLimits, chance: float) -> Settlement:
    """What to record for a claim whose attempt has ended.

    Args:
        claim: the claim.
        end: how its attempt has ended.
        retry: the task's rule.
        caps: see `CrashLimits`.
        chance: in [0, 1), for the spread of waits.
    """
    outcome, error, result = end
    if outcome is Outcome.SUCCEEDED:
        if result is not None and len(result) > LARGEST_RESULT:
            return _too_large(claim, len(result))
        return Settlement(claim, Verdict.COMPLETE, result=result)
    if outcome in (Outcome.RETURNED, Outcome.INTERRUPTED):
        # an interruption is not a failure
        return Settlement(claim, Verdict.RETURN, interrupted=outcome is Outcome.INTERRUPTED)
    if outcome is Outcome.CANCELLED:
        return Settlement(claim, Verdict.CANCEL)
    assert error is not None, "what has failed has an error"
    if outcome is Outcome.CRASHED:
        return _after_crash(claim, error, caps, chance)
    return _after_failure(claim, outcome, error, retry, chance)


def expired(claim: Claim) -> Settlement:
    """For a job whose ``total_timeout`` passed before it could start."""
    error = AttemptError(claim.attempt, "timed_out", "JobTimeout", "its total_timeout passed before it could start")
    return Settlement(claim, Verdict.DISCARD, error=error, reason="its total_timeout passed")


def _too_large(claim: Claim, size: int) -> Settlement:
    text = f"its result takes {size:,} bytes, and may take {LARGEST_RESULT:,}; it has run, and is not run again"
    error = AttemptError(claim.attempt, "failed", "PayloadRefused", text)
    return Settlement(claim, Verdict.DISCARD, error=error, reason="its result is too large")


def _after_crash(claim: Claim, error: BaseException, caps: CrashLimits, chance: float) -> Settlement:
    recorded = describe(claim.attempt, Outcome.CRASHED, error)
    crashes = claim.crashes + 1
    if crashes >= caps.crashes:
        reason = f"its process died {crashes} times"
        return Settlement(claim, Verdict.DISCARD, error=recorded, reason=reason, crashed=True)
    delay = backoff(AFTER_CRASH, crashes, chance)
    return Settlement(claim, Verdict.RETRY, error=recorded, delay=delay, crashed=True)


def _after_failure(
    claim: Claim, outcome: Outcome, error: BaseException, retry: Retry | None, chance: float
) -> Settlement:
    recorded = describe(claim.attempt, outcome, error)
    # Attempts that were lost with a process or a worker have caps of their own, and use up none of these.
    failures = claim.attempt - claim.crashes - claim.losses
    delay = None
    if not isinstance(error, ResultUnfit):
        # Seconds count from now: what is left of the total time is a deadline on that scale.
        delay = next_delay(retry, error, failures, 0.0, claim.expires_in, chance)
    if delay is not None:
        return Settlement(claim, Verdict.RETRY, error=recorded, delay=delay)
    reason = "its result does not fit" if isinstance(error, ResultUnfit) else "no retry is left"
    return Settlement(claim, Verdict.DISCARD, error=recorded, reason=reason)


def snoozed(claim: Claim, seconds: float) -> Settlement:
    """For a job that has raised `Snooze`: it goes back for so long, with its attempt."""
    return Settlement(claim, Verdict.RETURN, delay=min(seconds, LONGEST_SECONDS))


def unfit(claim: Claim, error: BaseException, waited: float | None, give_up: float) -> Settlement:
    """For a job that this version of the program cannot run: a worker of another version may.

    It goes back without an attempt spent, and for longer each time, so that many such jobs leave room for others.
    Why is recorded once. After *give_up* seconds it is discarded.

    Args:
        waited: seconds since that was recorded; ``None``: it was not.
    """
    if waited is not None and waited >= give_up:
        recorded = describe(claim.attempt, Outcome.FAILED, error)
        reason = f"no worker could call its task with its arguments for {span(give_up)}"
        return Settlement(claim, Verdict.DISCARD, error=recorded, reason=reason)
    why = describe(claim.attempt, Outcome.RETURNED, error) if waited is None else None
    delay = min(UNFIT_LONGEST, UNFIT_DELAY * 2.0 ** min(claim.token - 1, 20))
    return Settlement(claim, Verdict.RETURN, error=why, delay=delay)


def unfit_since(errors: Sequence[AttemptError]) -> float | None:
    """When the job began not to fit the workers that claimed it, by what is recorded; ``None``: it did not so far."""
    since = None
    for error in reversed(errors):
        if error.outcome != Outcome.RETURNED.value:
            break
        since = error.at
    return since


def span(seconds: float) -> str:
    """A length of time as the reasons of discards have it."""
    return f"{seconds / 86_400:g} days" if seconds >= 172_800 else f"{seconds:g} s"


def undecidable(claim: Claim, broken: BaseException) -> Settlement:
    """For a job whose end cannot be judged: code of its error's, or of its task's ``Retry``, fails."""
    recorded = describe(claim.attempt, Outcome.FAILED, broken)
    reason = "what became of it is not known: looking at its error failed"
    return Settlement(claim, Verdict.DISCARD, error=recorded, reason=reason)


def not_started(claim: Claim, error: BaseException) -> Settlement:
    """For a job whose row holds what no call can be made of: not by us was it written so."""
    recorded = describe(claim.attempt, Outcome.FAILED, error)
    return Settlement(claim, Verdict.DISCARD, error=recorded, reason="its arguments or options cannot be read")


def unwritable(refused: Settlement, why: BaseException) -> Settlement:
    """What is written instead of a settlement that the store cannot keep: the same without what the user brought."""
    said = ascii(message(why))[1:-1][:LONGEST_MESSAGE]
    error = refused.error
    if refused.verdict is Verdict.COMPLETE:
        recorded = AttemptError(
            refused.claim.attempt, "failed", "ResultNotWritten", f"its result cannot be written: {said}"
        )
        reason = "its result cannot be written; it has run, and is not run again"
        return refused._replace(verdict=Verdict.DISCARD, result=None, error=recorded, reason=reason)
    if error is not None:
        text = f"(the error cannot be written as it was: {said})"
        error = AttemptError(error.attempt, error.outcome, ascii(error.type_name)[1:-1], text)
    return refused._replace(error=error, reason=ascii(refused.reason)[1:-1])


def describe(attempt: int, outcome: Outcome, error: BaseException) -> AttemptError:
    """The error as it is recorded. Never raises, whatever the error's own code does."""
    texts: Texts = error.__dict__.get(TEXTS) or texts_of(error)
    return AttemptError(attempt, outcome.value, *texts)


def texts_of(error: BaseException) -> Texts:
    """Its type's name, its message and its traceback, as every store keeps them. May take as long as its own code."""
    if isinstance(error, RemoteError):
        name, text, trace = error.type_name, error.text, error.traceback
    else:
        name, text, trace = type_name(error), message(error), traceback_text(error)
    return (
        storable(name, LONGEST_NAME),
        storable(text, LONGEST_MESSAGE),
        storable(trace, LONGEST_TRACEBACK, from_end=True),
    )


def texts_not_had(error: BaseException) -> Texts:
    """The same for one whose own code takes too long."""
    return storable(type_name(error), LONGEST_NAME), NOT_SHOWN, NOT_SHOWN
