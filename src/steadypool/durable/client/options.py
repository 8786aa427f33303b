"""How a job is enqueued: the options that a durable task has besides those of every task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, Literal, Protocol, get_args

import msgspec

from steadypool.durable.client import own_retry
from steadypool.durable.engine.batches import batch_before
from steadypool.durable.engine.records import DEFAULT_QUEUE, Needs, NewJob, OnTaken, parts_of_id, tick_of_id
from steadypool.durable.engine.texts import LONGEST_KEY, LONGEST_NAME, what_is_wrong_with
from steadypool.model.checks import as_seconds, check_count, check_seconds
from steadypool.model.options import Task, TaskKeywords, TaskOptions

DAY = 86_400.0
Kind = Literal["thread", "process", "async"]
KINDS = get_args(Kind)
"""What a worker runs jobs on."""
PER_CALL = ("timeout", "meta", "retry")
"""Options of every task that may be changed for one call: they travel with the job."""
_BIGGEST_PRIORITY = 2**31


@dataclass(frozen=True, slots=True)
class EnqueueOptions:
    """Where and when a job runs, and what keeps it from being put twice.

    Args:
        queue: the named queue.
        delay: seconds from now until it may run. Here and below a `timedelta` will do, too.
        at: the moment it may run: a `datetime` with a time zone, or seconds since the epoch.
        unique: a key: while a job of this task with this key waits or runs, no other is put.
        unique_for: seconds for which the key holds from now on, whether or not the job has ended.
        on_taken: what becomes of a job whose key of *unique* is taken: ``"keep"``, the other is left as it is;
            ``"replace"``, it gets the arguments of this one, if it has not begun; ``"push_back"``, and waits for
            *delay* anew, too. Where the other has begun, these two put a job that waits for its end.
        at_most: seconds after which a job that waits is not pushed back any further; ten times *delay* by default.
        on_discarded: a task of the same queue that is run once when the job is given up, with those of the job's
            arguments that it has parameters for, and with ``job_id`` and ``reason``, if it has these.
        tags: texts by which jobs are found: ``("tenant:42",)``.
        keep: seconds for which the record of the completed job, its result included, is kept; 0: it is not.
        after: jobs that must have ended before it runs: handles or ids.
        needs: ``"success"``: these must have completed, and the job is cancelled if one of them is given up;
            ``"end"``: whatever became of them.
    """

    queue: str = DEFAULT_QUEUE
    delay: float | None = None
    at: datetime | float | None = None
    unique: str | None = None
    unique_for: float | None = None
    keep: float = DAY
    on_taken: OnTaken = "keep"
    at_most: float | None = None
    on_discarded: Task[..., Any] | None = None
    tags: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    needs: Needs = "success"

    def __post_init__(self) -> None:
        check_name("queue", self.queue, "mail")
        for name in ("delay", "unique_for", "keep", "at_most"):
            object.__setattr__(self, name, as_seconds(getattr(self, name)))
        check_seconds("delay", self.delay, zero=True)
        _moment(self.at)
        if self.delay is not None and self.at is not None:
            raise ValueError(f"give delay or at, not both; got delay={self.delay!r}, at={self.at!r}")
        if self.unique is not None:
            check_key("unique", self.unique, "welcome:42")
        check_seconds("unique_for", self.unique_for)
        if self.unique_for is not None and self.unique is None:
            raise ValueError("unique_for says how long the key of unique holds: give unique, too")
        if check_seconds("keep", self.keep, zero=True) is None:
            raise TypeError("keep must be a number of seconds, not None: records that are kept for ever fill the disk")
        object.__setattr__(self, "tags", check_tags(self.tags))
        _check_taken(self)
        object.__setattr__(self, "after", _check_after(self))


def _check_after(how: EnqueueOptions) -> tuple[str, ...]:
    given: object = how.after
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"after must be a list of jobs, handles or ids, such as [handle, 'job-7'], not {given!r}")
    ids: tuple[Any, ...] = tuple(dict.fromkeys(getattr(one, "job_id", one) for one in given))
    for one in ids:
        check_key("after must be a list of jobs: each", one, "job-7")
    if how.needs not in NEEDS:
        raise ValueError(f"needs must be one of {', '.join(map(repr, NEEDS))}; got {how.needs!r}")
    if how.needs != "success" and not ids:
        raise ValueError(f"needs={how.needs!r} is about the jobs that a job waits for: give after, too")
    if ids and how.on_taken != "keep":
        raise ValueError(f"after and on_taken={how.on_taken!r} cannot be together: leave one of them out")
    return ids


def check_tags(tags: object) -> tuple[str, ...]:
    """Return *tags* as a tuple, or raise `TypeError` or `ValueError` if they are none."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise TypeError(f"tags must be texts such as ('tenant:42',), not {tags!r}")
    given = tuple(dict.fromkeys(tags))
    for tag in given:
        check_name("tags must be texts: each", tag, "tenant:42")
    return given


def _check_taken(how: EnqueueOptions) -> None:
    check_seconds("at_most", how.at_most)
    if how.on_taken not in ON_TAKEN:
        raise ValueError(f"on_taken must be one of {', '.join(ON_TAKEN)}; got {how.on_taken!r}")
    if how.on_taken != "keep" and how.unique is None:
        raise ValueError(f"on_taken={how.on_taken!r} is about a unique key that is taken: give unique, too")
    if how.on_taken != "keep" and how.unique_for is not None:
        raise ValueError(
            f"on_taken={how.on_taken!r} is about a job that waits, and unique_for holds the key whatever becomes of "
            "that: leave one of them out"
        )
    if how.at_most is not None and how.on_taken != "push_back":
        raise ValueError('at_most says how long a job is pushed back: give on_taken="push_back", too')
    if how.on_taken == "push_back" and how.delay is None and (how.at is None or how.at_most is None):
        raise ValueError(
            'on_taken="push_back" has a job wait anew: say for how long with delay; or give at and at_most'
        )
    if how.at_most is not None and how.delay is not None and how.at_most < how.delay:
        raise ValueError(
            f"at_most={how.at_most:g} is shorter than delay={how.delay:g}: the first job waits for that long"
        )


class Identified(Protocol):
    """A handle, as far as it matters here."""

    @property
    def id(self) -> str:
        """The job's id."""


class EnqueueKeywords(TaskKeywords, total=False):
    """The options of a durable task as keywords, for type checkers."""

    queue: str
    delay: float | timedelta | None
    at: datetime | float | None
    unique: str | None
    unique_for: float | timedelta | None
    keep: float | timedelta
    on_taken: OnTaken
    at_most: float | timedelta | None
    on_discarded: Task[..., Any] | None
    tags: Iterable[str]
    after: Iterable[Identified | str]
    needs: Needs


ON_TAKEN = ("keep", "replace", "push_back")
NEEDS = ("success", "end")
ENQUEUE_NAMES = frozenset(field.name for field in fields(EnqueueOptions))
TASK_NAMES = frozenset({"name", "id", "timeout", "total_timeout", "retry", "priority", "meta", "limit", "lane"})
OPTION_NAMES = ENQUEUE_NAMES | TASK_NAMES


def split_options(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are about enqueueing, and those of every task.

    Raises:
        TypeError: for one that does not exist.
    """
    for name in sorted(given.keys() - OPTION_NAMES):
        from steadypool.model.peer_names import unknown_option  # for a mistake alone

        raise TypeError(unknown_option(name, OPTION_NAMES))
    ours = {name: value for name, value in given.items() if name in ENQUEUE_NAMES}
    return ours, {name: value for name, value in given.items() if name in TASK_NAMES}


def check_kind(kind: object) -> str | None:
    """Return *kind*, what runs a task's jobs, or raise `ValueError` if there is no such kind."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, or None; got {kind!r}")
    return None if kind is None else str(kind)


def check_aliases(aliases: object) -> tuple[str, ...]:
    """Return *aliases* as a tuple, or raise `TypeError` if they are no names."""
    if isinstance(aliases, str) or not isinstance(aliases, Iterable):
        raise TypeError(f"aliases must be a list of names such as ['app.send_mail'], not {aliases!r}")
    names = tuple(aliases)
    for name in names:
        check_name("aliases must be names: each", name, "app.send_mail")
    return names


def change(options: EnqueueOptions, changes: Mapping[str, Any]) -> EnqueueOptions:
    """*options* with some changed; one of delay and at replaces the other."""
    changes = dict(changes)
    if "delay" in changes and "at" not in changes:
        changes["at"] = None
    elif "at" in changes and "delay" not in changes:
        changes["delay"] = None
    return replace(options, **changes)


def new_job(task: str, payload: bytes, how: EnqueueOptions, options: TaskOptions, per_call: bytes | None) -> NewJob:
    """The record for the engine."""
    priority = check_count("priority", options.priority, least=-_BIGGEST_PRIORITY)
    if priority > _BIGGEST_PRIORITY:
        raise ValueError(f"priority must be at most {_BIGGEST_PRIORITY}; got {priority}")
    if options.total_timeout is not None:
        check_in_time(how, options, time())
    return NewJob(
        task,
        payload,
        how.queue,
        priority,
        how.delay or 0.0,
        _moment(how.at),
        check_id(options.id),
        how.unique,
        how.unique_for,
        _finite(options.total_timeout),
        how.keep,
        per_call,
        how.tags,
        how.on_taken,
        how.at_most if how.at_most is not None or how.on_taken != "push_back" else 10 * (how.delay or 0.0),
        after=how.after,
        needs=how.needs,
    )


def check_in_time(how: EnqueueOptions, options: TaskOptions, now: float) -> None:
    """Raise `ValueError` if the job would be given up before it may run."""
    total, delay = options.total_timeout, how.delay
    if total is None or how.delay is how.at:  # neither is given
        return
    moment = _moment(how.at)
    wait = delay if delay is not None else (moment or 0.0) - now
    if wait >= total:
        given = f"delay={delay:g}" if delay is not None else f"at={how.at!r}, in {wait:,.0f} s,"
        raise ValueError(
            f"{given} and total_timeout={total:g}: the job would be given up before it may run; total_timeout is "
            "counted from the enqueue, so make it longer, or leave it out and use timeout, which one attempt may take"
        )


def check_id(job_id: str | None) -> str | None:
    """Return *job_id*, or raise `ValueError` if no store can keep it, or it looks like one that the queue makes up."""
    if job_id is not None:
        check_key("id", job_id, "order-42")
    if job_id is not None and tick_of_id(job_id) is not None:
        raise ValueError(f"ids such as {job_id!r} are those of a schedule's jobs; choose another")
    if job_id is not None and batch_before(job_id) is not None:
        raise ValueError(f"ids such as {job_id!r} are those of jobs that follow a batch; choose another")
    if job_id is not None and parts_of_id(job_id)[0] is not None:
        raise ValueError(
            f"ids such as {job_id!r} are given by the queue itself; choose another, such as 'order-{job_id[4:]}'"
        )
    return job_id


def checked_id(job_id: object) -> str:
    """Return *job_id*, or raise `TypeError` if it is no text."""
    if not isinstance(job_id, str):
        raise TypeError(f"a job's id is a str such as 'job-7', not {job_id!r}")
    return job_id


def encode_per_call(options: TaskOptions, changed: frozenset[str]) -> bytes | None:
    """Those of the task's options that were changed for this call, as JSON.

    Raises:
        TypeError: for one that cannot travel with a job.
    """
    if "name" in changed:
        raise TypeError("name cannot be changed for one call of a durable task: the worker finds the task by it")
    travels = {name: getattr(options, name) for name in PER_CALL if name in changed}
    if "retry" in travels:
        travels["retry"] = own_retry.to_plain(options.retry)
    if travels.get("timeout") == float("inf"):
        travels["timeout"] = "none"  # JSON has no infinity
    if not travels:
        return None
    try:
        return msgspec.json.encode(travels)
    except Exception as error:
        raise TypeError(f"meta must be of what JSON can carry, since it travels with the job: {error}") from None


def check_name(what: str, value: object, example: str) -> None:
    """Do nothing, unless *value* is no name that every store can keep.

    Raises:
        TypeError, ValueError: saying why it is none.
    """
    _check_text(what, value, example, LONGEST_NAME, "give a shorter one")


def check_key(what: str, value: object, example: str) -> None:
    """The same for an id or a unique key, which may be longer."""
    _check_text(what, value, example, LONGEST_KEY, "use a hash of it, such as hashlib.sha256(...).hexdigest()")


def _check_text(what: str, value: object, example: str, most: int, instead: str) -> None:
    if not (isinstance(value, str) and value):
        raise TypeError(f"{what} must be a non-empty str such as {example!r}, not {value!r}")
    wrong = what_is_wrong_with(value, most)
    if wrong:
        shown = ascii(value) if len(value) <= 60 else f"{value[:50]!a}..."
        hint = f": {instead}" if wrong.startswith("takes") else ""
        raise ValueError(f"{what} must be a text that every store can keep, and {shown} {wrong}{hint}")


def _moment(at: datetime | float | None) -> float | None:
    if at is None or (isinstance(at, (int, float)) and not isinstance(at, bool)):
        if at is not None and at != at:
            raise ValueError("at must be a moment, not nan")
        return at
    if not isinstance(at, datetime):
        raise TypeError(f"at must be a datetime with a time zone, or seconds since the epoch, not {at!r}")
    if at.tzinfo is None:
        raise ValueError(f"at has no time zone; use {at.replace(tzinfo=UTC)!r} or at.astimezone()")
    return at.timestamp()


def _finite(seconds: float | None) -> float | None:
    return None if seconds == float("inf") else seconds
