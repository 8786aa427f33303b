"""What travels between a queue, a worker and an engine: frozen records.

A job's **number** is the engine's handle for it: ever growing, and never given again by a store that only goes
forward. One that has gone back in time gives it again; the **nonce**, a random number that is kept in the job's row,
tells the two jobs apart. Its **id** is what people see: the one they chose, or both, ``job-<number>-<nonce>``. Moments
are seconds since the epoch by the engine's clock; a length of time travels as a length and is added to that clock by
the engine, so that no worker's clock matters.

Those that are made for each job are named tuples, which are made in a fifth of the time that a frozen dataclass takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from steadypool.durable.engine.notes import Note
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.turns import Turn
from steadypool.model.checks import check_count, check_seconds

DEFAULT_QUEUE = "default"
JobKey = tuple[int, int]
"""Number and nonce: one job, and no other, for ever."""
LONGEST_SECONDS = 2.5e10
"""800 years: longer lengths of time are cut to this one, which every engine can add to its clock."""
KEEP_GIVEN_UP = 7 * 86_400.0
"""Seconds for which discarded and cancelled jobs are kept at least: their user may want to run them again."""
SET_ASIDE = "no worker so far has known its task"
"""`JobRecord.reason` of a job that was set aside."""
BEHIND = "the job that has its unique key has not ended"
"""`JobRecord.reason` of a job that waits for that."""
OnTaken = Literal["keep", "replace", "push_back"]
Needs = Literal["success", "end"]
_GIVEN_ID = re.compile(r"job-([0-9]{1,18})(?:-([0-9a-f]{10}))?")
"""An id that was not chosen by the user. Without the nonce it is a short form that people may type."""


def public_id(number: int, nonce: int, chosen: str | None) -> str:
    """What people call the job."""
    return chosen if chosen is not None else f"job-{number}-{nonce:010x}"


def parts_of_id(job_id: str) -> tuple[int | None, int | None]:
    """Number and nonce in an id that was not chosen by the user; ``None`` for what is not in it."""
    found = _GIVEN_ID.fullmatch(job_id)
    if found is None:
        return None, None
    number, nonce = found.groups()
    return int(number), None if nonce is None else int(nonce, 16)


_TICK_ID = re.compile(r"cron:(.+):(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?)Z", re.DOTALL)


def tick_id(schedule: str, tick: datetime) -> str:
    """The id of the job for that tick, which is in UTC: there is one such job."""
    return f"cron:{schedule}:{tick.replace(tzinfo=None).isoformat()}Z"


def tick_of_id(job_id: str) -> tuple[str, datetime] | None:
    """The schedule that put the job of this id, and for which tick; ``None`` if none did."""
    found = _TICK_ID.fullmatch(job_id)
    return None if found is None else (found[1], datetime.fromisoformat(found[2]).replace(tzinfo=UTC))


class NewJob(NamedTuple):
    """One job to be put."""

    task: str
    payload: bytes
    """The arguments, as JSON."""
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    """Higher first; within a priority, first in, first out."""
    delay: float = 0.0
    """Seconds from now until it may run."""
    at: float | None = None
    """The moment it may run, instead of *delay*."""
    id: str | None = None
    """Chosen by the user. While the database knows a job of this id, nothing is put and that job is named."""
    unique: str | None = None
    """While a job of this task has this key and waits or runs, nothing is put and that job is named."""
    unique_for: float | None = None
    """The key holds for this many seconds from now instead, whether or not the job has ended."""
    total_timeout: float | None = None
    """Seconds from now until the job is of no use any more."""
    keep: float = 86_400.0
    """Seconds for which the record of the completed job, with its result, is kept; 0: it is not kept."""
    options: bytes | None = None
    """Options of this one call, as JSON."""
    tags: tuple[str, ...] = ()
    """What it is found by, in lists and for changes of many jobs."""
    on_taken: OnTaken = "keep"
    """What becomes of a job whose unique key is taken. ``keep``: nothing is put. Else, as long as the job that has the
    key waits, that one gets the arguments of this one, and with ``push_back`` its time, too. If it runs, this one waits
    for its end."""
    at_most: float | None = None
    """For ``push_back``: so many seconds after it was put the job that waits is not pushed back any further."""
    on_discarded: str | None = None
    """The job that is put when this one is given up, as JSON (`engine.job_json`)."""
    turn: Turn | None = None
    """Where it waits for its turn, or has waited; ``None``: it has no limit and no lane."""
    after: tuple[str | int, ...] = ()
    """The jobs for which this one waits: ids; or, below zero, so many places before it in the same call."""
    needs: Needs = "success"
    """Whether these must have completed, or ended in any way."""
    batch: int | None = None
    """The batch of which it is a member."""


class EnqueueResult(NamedTuple):
    """What became of one `NewJob`."""

    number: int
    nonce: int
    id: str
    enqueued: bool
    """False: the id or the unique key was taken, and this is the job that has it. Nothing was put."""


class Claim(NamedTuple):
    """One job, claimed by one worker."""

    number: int
    nonce: int
    id: str
    token: int
    """1 for the job's first claim, one more for each later one."""
    lease: int
    """The lease that it came with: a random number. With the job's number it names this claim and no other."""
    attempt: int
    """Which attempt this is, from 1. It is spent already."""
    crashes: int
    """How many attempts ended with the death of the job's own process."""
    losses: int
    """How many were lost with their whole worker."""
    task: str
    queue: str
    payload: bytes
    options: bytes | None = None
    expires_in: float | None = None
    """Seconds left of `NewJob.total_timeout`; may be negative."""
    turn: Turn | None = None
    """Where it has waited for its turn: it holds a place of each gate."""

    @property
    def fencing_token(self) -> str:
        """For what the job does elsewhere: it names the job before the colon, and grows with each claim behind it."""
        return f"{self.number}-{self.nonce:010x}:{self.token}"


class Verdict(StrEnum):
    """What a settlement makes of its job."""

    COMPLETE = "complete"
    """→ completed, with a result."""
    RETRY = "retry"
    """→ retryable (available, when the delay is 0): the attempt was spent, an error is recorded."""
    DISCARD = "discard"
    """→ discarded, with an error and a reason."""
    CANCEL = "cancel"
    """→ cancelled."""
    RETURN = "return"
    """→ available, or scheduled with a delay: the attempt is given back, nothing is recorded against the job."""

    @property
    def puts_back(self) -> bool:
        """Whether the job will run again; else it has ended."""
        return self in (Verdict.RETRY, Verdict.RETURN)


@dataclass(frozen=True, slots=True)
class AttemptError:
    """Why one attempt failed."""

    attempt: int
    outcome: str
    """As `steadypool.Outcome` has it: ``"failed"``, ``"timed_out"``, ``"crashed"``; ``"lost"`` with its worker."""
    type_name: str
    message: str
    traceback: str = ""
    at: float = 0.0
    """When it was recorded. Filled in by the engine, as are the two below."""
    worker: str | None = None
    """Who ran the attempt."""
    started_at: float | None = None
    """When that worker claimed it."""


class Settlement(NamedTuple):
    """What became of one claim."""

    claim: Claim
    verdict: Verdict
    result: bytes | None = None
    """For COMPLETE: what the task returned, as JSON."""
    error: AttemptError | None = None
    """For RETRY and DISCARD: what is recorded. For RETURN: why it goes back, if that is worth a record."""
    delay: float = 0.0
    """For RETRY and RETURN: seconds until it may run again."""
    reason: str = ""
    """For DISCARD: why it will not run again."""
    crashed: bool = False
    """For RETRY and DISCARD: the job's own process died."""
    turn: Turn | None = None
    """For RETURN: where it has to wait from now on. It was put before its task had these limits, or by older code."""
    aside: bool = False
    """For RETURN: no worker so far knows its task. It is set aside for *delay* seconds, as `Engine.set_aside` does."""
    note: Note | None = None
    """For RETRY and RETURN: what the job has saved for its next run."""
    interrupted: bool = False
    """For RETURN: it had begun. The worker alone counts these."""


def topics_of(settlements: Sequence[Settlement]) -> tuple[bool, bool]:
    """Whether these settlements notify listeners for ends, and listeners for work."""
    back = sum(settlement.verdict.puts_back for settlement in settlements)
    return len(settlements) > back, back > 0


LOOKED_PAST = 2000
"""Jobs at the head of a queue among which a claim looks for those of other tasks: a few milliseconds' work."""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What one call of `Engine.claim` gave."""

    claims: tuple[Claim, ...] = ()
    refused: frozenset[tuple[int, int]] = frozenset()
    """``(number, lease)`` of settlements that came too late: the claim was lost, or settled before."""
    cancels: tuple[JobKey, ...] = ()
    """Of running jobs that are to be cancelled, in any worker."""
    next_due: float | None = None
    """Seconds until the earliest delayed job of any queue may run; ``None`` if there is none."""
    more: bool = False
    """Whether there may be more to claim than was asked for."""


class Reconciled(NamedTuple):
    """What one call of `Engine.reconcile` found."""

    returned: int = 0
    """Jobs that were put back: the worker had them by the tables, and did not know."""
    lost: frozenset[int] = frozenset()
    """Leases that the worker knew, and that are no more."""
    settled: frozenset[tuple[int, int]] = frozenset()
    """Of what the worker knew under other leases, ``(lease, number)``: what has been settled."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one sweep found."""

    workers: tuple[str, ...] = ()
    """Names of workers whose leases had run out."""
    returned: int = 0
    """Jobs that were put back."""
    discarded: int = 0
    """Jobs that had been lost too often."""


Progress = tuple[float, float | None]
"""How far a job is, and of how much, if that is known."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything the engine knows of one job."""

    number: int
    nonce: int
    id: str
    task: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    """Attempts begun so far: the present one included while it runs."""
    crashes: int
    losses: int
    enqueued_at: float
    due_at: float | None = None
    """When it may run, for one that waits for that."""
    ended_at: float | None = None
    payload: bytes | None = None
    """``None`` when the job has completed: arguments are not kept any longer than they are of use."""
    result: bytes | None = None
    reason: str = ""
    """Why it was discarded, or was cancelled for another job; or why it waits: `SET_ASIDE`, `BEHIND`."""
    worker: str | None = None
    """Who runs it now; or who ran its last attempt, if it has ended."""
    cancelling: bool = False
    """Whether it runs, and is to be cancelled."""
    errors: tuple[AttemptError, ...] = ()
    """Of the attempts that failed, in order. `Engine.list` leaves them out."""
    running_since: float | None = None
    """When it was claimed, for one that runs."""
    started_at: float | None = None
    """When its present attempt was claimed; or its last one, if it has ended."""
    tags: tuple[str, ...] = ()
    progress: Progress | None = None
    """How far it is, and of how much, as it said within the last seconds (`JobContext.progress`)."""
    last_error: AttemptError | None = None
    """Of the last attempt that failed, without its traceback."""
    turn: Turn | None = None
    """Where it waits for its turn, if it has limits or a lane."""
    held_by: str = ""
    """What holds it back, for one that is available: ``"limit stripe: 5 of 5 running"``."""
    checkpoint: bytes | None = None
    """What it has saved for its next run, as JSON, as far as that is written. `Engine.list` leaves it out."""
    saved_at: float | None = None
    """When that was written."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are meant: those to which all of it applies.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """

    states: frozenset[JobState] = frozenset(JobState)
    queue: str | None = None
    task: str | None = None
    """The task's name, or the end of it behind a dot: ``"send_email"`` for ``"app.send_email"``."""
    below: int | None = None
    """Only numbers below this one: the last of the page before."""
    limit: int = 100
    """So many at most in a list; a change of many jobs has no limit."""
    tags: tuple[str, ...] = ()
    """Only jobs that have all of these."""
    error_type: str | None = None
    """Only jobs whose last failed attempt raised this: ``"ValueError"``, or with its module, ``"app.errors.Busy"``."""
    older_than: float | None = None
    """Only jobs that were put longer ago than so many seconds."""
    younger_than: float | None = None
    """Only jobs that were put within so many seconds."""
    ended_within: float | None = None
    """Only jobs that have ended within so many seconds."""
    argument: str | None = None
    """Only jobs whose arguments, as JSON, have this text in them. Those of completed jobs are not kept."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", _states(self.states))
        object.__setattr__(self, "tags", _tags(self.tags))
        for name, example in (
            ("queue", "mail"),
            ("task", "send_email"),
            ("error_type", "ValueError"),
            ("argument", "42"),
        ):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise TypeError(f"{name} must be a text such as {example!r}, not {value!r}")
        for name in ("older_than", "younger_than", "ended_within"):
            check_seconds(name, getattr(self, name), zero=True)
        check_count("limit", self.limit)


def _states(states: object) -> frozenset[JobState]:
    if isinstance(states, str) or not isinstance(states, Iterable):
        raise TypeError(f"states must be a set such as {{'discarded'}}, not {states!r}")
    try:
        return frozenset(map(JobState, states))
    except ValueError as error:
        raise ValueError(f"states must be among {', '.join(JobState)}: {error}") from None


def _tags(tags: object) -> tuple[str, ...]:
    given = () if isinstance(tags, str) or not isinstance(tags, Iterable) else tuple(tags)
    if (tags and not given) or not all(isinstance(tag, str) for tag in given):
        raise TypeError(f"tags must be texts such as ('tenant:42',), not {tags!r}")
    return given


ChangeKind = Literal["retry", "cancel", "discard"]


class Change(NamedTuple):
    """What became of one job of `Engine.change_many`."""

    number: int
    was: JobState
    """In which state it was."""
    changed: bool
    """False for one that should have been changed: it was in other hands, or another job has its unique key."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One named queue."""

    name: str
    paused: bool
    scheduled: int = 0
    waiting: int = 0
    """For other jobs."""
    available: int = 0
    running: int = 0
    retryable: int = 0
    completed: int = 0
    """As long as their records are kept; likewise the two below."""
    discarded: int = 0
    cancelled: int = 0
    oldest_available: float | None = None
    """Seconds since the job that has waited longest was enqueued."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One registered worker."""

    name: str
    alive: bool
    """Its lease has not run out."""
    running: int
    since: float
    queues: tuple[str, ...] | None = None
    """Those that it claims from; ``None``: it has not said, as workers of an older release do not."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The whole database."""

    queues: tuple[QueueStats, ...] = ()
    workers: tuple[WorkerRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables as they are, and as they should be."""

    found: int
    """Version of the tables; 0: there are none."""
    wanted: int
    pending: tuple[str, ...] = field(default=())
    """What `Engine.migrate` would run, in order."""
