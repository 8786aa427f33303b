"""Events as log records: quiet for what is normal, with the traceback for what failed.

Every record carries the event's fields, in ``extra`` for the standard library's loggers and as key-value pairs for
others that take those, such as structlog's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Protocol

from steadypool.observe.failure import message_of, type_of
from steadypool.words import events
from steadypool.words.events import Event, JobEnded


class KeyValueLogger(Protocol):
    """A logger that takes key-value pairs, as structlog's do."""

    def log(self, level: int, event: str, **pairs: Any) -> Any:
        """Log *event* with *pairs*."""


Logger = str | logging.Logger | KeyValueLogger


@dataclass(frozen=True)
class _Kind:
    """How one kind of event is logged."""

    level: int
    text: str
    """With the names of fields in it."""


_JOB = "job %(job_id)s (%(task)s)"
_ENDED = "in attempt %(attempt)s, after %(ran).3f s"
_KINDS: dict[type[Event], _Kind] = {
    events.JobSubmitted: _Kind(DEBUG, f"{_JOB} was submitted"),
    events.JobRejected: _Kind(WARNING, "a job (%(task)s) was refused, since the queue is full"),
    events.JobStarted: _Kind(DEBUG, f"{_JOB} started on %(worker)s, attempt %(attempt)s, after %(waited).3f s"),
    events.JobRetrying: _Kind(INFO, f"{_JOB} failed {_ENDED}, and runs again in %(delay).3f s: %(error)s"),
    events.JobToldToStop: _Kind(INFO, f"{_JOB} was told to stop (%(cause)s)"),
    events.JobStuck: _Kind(ERROR, f"{_JOB} did not stop, and is left behind here:\n%(stack)s"),
    events.JobProgress: _Kind(DEBUG, f"{_JOB} is at %(done)s%(out_of)s"),
    events.JobSucceeded: _Kind(DEBUG, f"{_JOB} succeeded {_ENDED}"),
    events.JobFailed: _Kind(ERROR, f"{_JOB} failed {_ENDED}"),
    events.JobTimedOut: _Kind(ERROR, f"{_JOB} timed out {_ENDED}"),
    events.JobWasCancelled: _Kind(INFO, f"{_JOB} was cancelled"),
    events.JobCrashed: _Kind(ERROR, f"{_JOB} crashed {_ENDED}"),
    events.JobReturned: _Kind(WARNING, f"{_JOB} was handed back, since the pool closes"),
    events.JobInterrupted: _Kind(WARNING, f"{_JOB} was interrupted {_ENDED}, since the pool closes"),
    events.WorkerStarted: _Kind(DEBUG, "worker %(worker)s started"),
    events.WorkerEnded: _Kind(DEBUG, "worker %(worker)s ended (%(reason)s)"),
    events.WorkerLeftBehind: _Kind(WARNING, "worker %(worker)s is left behind with its job"),
    events.CapacityChanged: _Kind(INFO, "the capacity of pool %(pool)s is %(capacity)s, of %(max_workers)s workers"),
    events.DrainMayOverrun: _Kind(
        WARNING, "pool %(pool)s would need about %(estimate).1f s to drain; a signal would give it %(seconds).1f s"
    ),
    events.PoolDraining: _Kind(INFO, "pool %(pool)s drains, %(limit)s"),
    events.PoolCancelling: _Kind(WARNING, "pool %(pool)s has not drained in time: what runs is told to stop"),
    events.PoolClosing: _Kind(INFO, "pool %(pool)s is closed (on time: %(on_time)s)"),
}
LEVELS: Mapping[type[Event], int] = {kind: how.level for kind, how in _KINDS.items()}
"""The level of each kind of event, unless a sink is told otherwise."""

_WITH_TRACEBACK = frozenset({events.JobFailed, events.JobTimedOut, events.JobCrashed})
_NAMES: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name not in ("at", "error")) for kind in _KINDS
}
_LATER_KINDS = _Kind(INFO, "%(kind)s in pool %(pool)s")


class LoggingSink:
    """Logs every event of the pools that it is subscribed to.

    Args:
        logger: a logger or its name; or one that takes key-value pairs, as ``structlog.get_logger()``.
        levels: other levels than `LEVELS` for some kinds of events, such as ``{JobSucceeded: logging.INFO}``.

    A handler that is slow makes the pool slow: put a ``QueueHandler`` before one that writes to a network.
    """

    def __init__(self, logger: Logger = "steadypool", levels: Mapping[type[Event], int] | None = None) -> None:
        for kind in levels or {}:
            if kind not in _KINDS:
                raise ValueError(
                    f"levels are given by event class, such as {{JobSucceeded: logging.INFO}}; got {kind!r}"
                )
        self._levels = {**LEVELS, **(levels or {})}
        found = logging.getLogger(logger) if isinstance(logger, str) else logger
        if not callable(getattr(found, "log", None)):
            raise TypeError(f"LoggingSink(logger) must be a logger or the name of one, not {logger!r}")
        self._standard = found if isinstance(found, logging.Logger) else None
        self._other: Any = found

    def __call__(self, event: Event) -> None:
        """Log one event."""
        kind = type(event)
        level = self._levels.get(kind, INFO)
        if self._standard is None:
            self._other.log(level, _words(kind.__name__), **_facts(event), **_error_of(event))
        elif self._standard.isEnabledFor(level):
            facts = _facts(event)
            error = event.error if kind in _WITH_TRACEBACK and isinstance(event, JobEnded) else None
            text = _KINDS.get(kind, _LATER_KINDS).text
            self._standard.log(level, text, _told(facts), exc_info=error, extra=facts)


def _facts(event: Event) -> dict[str, Any]:
    """The event's fields as plain data, its kind, and what its error says."""
    kind = type(event)
    facts = {name: getattr(event, name) for name in _NAMES.get(kind, ("pool",))}
    facts["kind"] = kind.__name__
    if "outcome" in facts:
        facts["outcome"] = facts["outcome"].value
    error = getattr(event, "error", None)
    if error is not None:
        facts["error_type"], facts["error_message"] = type_of(error), message_of(error)
    return facts


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, and some of them in words."""
    seconds, total = facts.get("seconds"), facts.get("total")
    return {
        **facts,
        "error": f"{facts.get('error_type')}: {facts.get('error_message')}",
        "stack": str(facts.get("stack")).rstrip(),
        "limit": "without a limit" if seconds is None else f"within {seconds:g} s",
        "out_of": "" if total is None else f" of {total}",
    }


def _error_of(event: Event) -> dict[str, Any]:
    if type(event) in _WITH_TRACEBACK and isinstance(event, JobEnded):
        return {"exc_info": event.error}
    return {}


def _words(name: str) -> str:
    """``JobWasCancelled`` as ``job was cancelled``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
