"""Changes of one job by hand, and what is said when it is not in a state for them."""

from __future__ import annotations

from steadypool.durable.client.home import unknown
from steadypool.durable.engine.errors import WrongState
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord, parts_of_id
from steadypool.durable.engine.states import WAITING, JobState
from steadypool.durable.engine.texts import LONGEST_MESSAGE, storable

_GIVEN_UP = (JobState.DISCARDED, JobState.CANCELLED)


def request_cancel(engine: Engine, job_id: str) -> JobState:
    """See `Queue.request_cancel`."""
    number, nonce = parts_of_id(job_id)
    found = engine.cancel_chosen(job_id) if number is None else engine.cancel(number, nonce)
    if found is None:
        raise unknown(job_id)
    return found


def retry(engine: Engine, known: JobRecord) -> None:
    """See `Queue.retry`."""
    found = engine.retry(known.number, known.nonce)
    if found is None:
        raise unknown(known.id)
    if found.state in _GIVEN_UP:
        after = engine.get(known.id)  # it may have run and failed again by now
        if after is not None and (after.state, after.ended_at) == (found.state, found.ended_at):
            raise WrongState(f"job {known.id!r} {_why_not(found)}", state=found.state.value)
    elif found.state not in (JobState.SCHEDULED, JobState.RETRYABLE):
        raise WrongState(f"job {known.id!r} is {found.state.value}: there is nothing to retry", state=found.state.value)


def discard(engine: Engine, known: JobRecord, reason: str) -> None:
    """See `Queue.discard`."""
    found = engine.discard(known.number, known.nonce, storable(reason, LONGEST_MESSAGE))
    if found is None:
        raise unknown(known.id)
    if found.state not in WAITING:
        hint = ": cancel it instead" if found.state is JobState.RUNNING else ""
        raise WrongState(f"job {known.id!r} is {found.state.value}{hint}", state=found.state.value)


def _why_not(found: JobRecord) -> str:
    if found.state is JobState.CANCELLED and found.reason.startswith("needed "):
        return f"{found.reason}: retry that one, and this one comes back with it"
    return "has a unique key that another job has now"
