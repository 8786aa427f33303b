"""Events as log records: quiet for what is normal, with the traceback for what failed.

Every record carries the event's fields, in ``extra`` for the standard library's loggers and as key-value pairs for
others that take those, such as structlog's.

An event of another kind than the pools' may say itself how it is logged: by a class attribute ``LOG``, a `LogLine`.
Those of durable workers do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Protocol

from steadypool.model import events
from steadypool.model.error_text import first_line, traceback_text, type_name
from steadypool.model.events import Event
from steadypool.model.log_line import LogLine
from steadypool.model.printable import printable, printable_lines


class KeyValueLogger(Protocol):
    """A logger that takes key-value pairs, as structlog's do."""

    def log(self, level: int, event: str, **pairs: Any) -> Any:
        """Log *event* with *pairs*."""


Logger = str | logging.Logger | KeyValueLogger


_JOB = "job %(job_id)s (%(task)s)"
_ENDED = "in attempt %(attempt)s, after %(ran).3f s"
_KINDS: dict[type[Event], LogLine] = {
    events.JobSubmitted: LogLine(DEBUG, f"{_JOB} was submitted"),
    events.JobRejected: LogLine(WARNING, "a job (%(task)s) was refused, since the queue is full"),
    events.JobStarted: LogLine(DEBUG, f"{_JOB} started on %(worker)s, attempt %(attempt)s, after %(waited).3f s"),
    events.JobRetryScheduled: LogLine(INFO, f"{_JOB} failed {_ENDED}, and runs again in %(delay).3f s: %(error)s"),
    events.JobStopRequested: LogLine(INFO, f"{_JOB} was asked to stop (%(cause)s)"),
    events.JobStuck: LogLine(ERROR, f"{_JOB} did not stop, and is left behind here:\n%(stack)s"),
    events.JobProgressed: LogLine(DEBUG, f"{_JOB} is at %(done)s%(out_of)s"),
    events.JobSucceeded: LogLine(DEBUG, f"{_JOB} succeeded {_ENDED}"),
    events.JobFailed: LogLine(ERROR, f"{_JOB} failed {_ENDED}", traceback=True),
    events.JobTimedOut: LogLine(ERROR, f"{_JOB} timed out {_ENDED}", traceback=True),
    events.JobCancelled: LogLine(INFO, f"{_JOB} was cancelled"),
    events.JobCrashed: LogLine(ERROR, f"{_JOB} crashed {_ENDED}", traceback=True),
    events.JobReturned: LogLine(WARNING, f"{_JOB} was handed back, since the pool closes"),
    events.JobInterrupted: LogLine(WARNING, f"{_JOB} was interrupted {_ENDED}, since the pool closes"),
    events.WorkerStarted: LogLine(DEBUG, "worker %(worker)s started"),
    events.WorkerEnded: LogLine(DEBUG, "worker %(worker)s ended (%(reason)s)"),
    events.WorkerAbandoned: LogLine(WARNING, "worker %(worker)s is left behind with its job"),
    events.CapacityChanged: LogLine(INFO, "the capacity of pool %(pool)s is %(capacity)s, of %(max_workers)s workers"),
    events.DrainMayOverrun: LogLine(
        WARNING, "pool %(pool)s would need about %(estimate).1f s to drain; a signal would give it %(seconds).1f s"
    ),
    events.PoolDraining: LogLine(INFO, "pool %(pool)s drains, %(limit)s"),
    events.PoolCancelling: LogLine(WARNING, "pool %(pool)s has not drained in time: what runs is asked to stop"),
    events.PoolClosing: LogLine(INFO, "pool %(pool)s is closed (on time: %(on_time)s)"),
}
LEVELS: Mapping[type[Event], int] = {kind: how.level for kind, how in _KINDS.items()}
"""The level of each kind of event, unless a sink is given another."""

_TAKEN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "level", "event"}
"""Attributes that records have already, and what each entry of structlog has."""
_LATER_KINDS = LogLine(INFO, "%(kind)s in pool %(pool)s")


class LoggingSink:
    """Logs every event of the pools that it is subscribed to.

    Args:
        logger: a logger or its name; or one that takes key-value pairs, as ``structlog.get_logger()``.
        levels: other levels than `LEVELS` for some kinds of events, such as ``{JobSucceeded: logging.INFO}``.

    A handler that is slow makes the pool slow: put a ``QueueHandler`` before one that writes to a network.
    """

    def __init__(self, logger: Logger = "steadypool", levels: Mapping[type[Event], int] | None = None) -> None:
        for kind in levels or {}:
            if not _is_event(kind):
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
        how = _line_of(kind)
        level = self._levels.get(kind, how.level)
        error = getattr(event, "error", None) if how.traceback else None
        if self._standard is None:
            caught = {} if error is None else {"exc_info": error}
            self._other.log(level, _words(kind.__name__), **_extra(_facts(event)), **caught)
        elif self._standard.isEnabledFor(level):
            self._standard.handle(_record(self._standard, level, how.text, _facts(event), error))


def _is_event(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Event)


def _line_of(kind: type[Event]) -> LogLine:
    known = _KINDS.get(kind) or getattr(kind, "LOG", None)
    return known if isinstance(known, LogLine) else _LATER_KINDS


def _record(
    logger: logging.Logger, level: int, text: str, facts: dict[str, Any], error: BaseException | None
) -> logging.LogRecord:
    caught = None if error is None else (type(error), error, error.__traceback__)
    record = logger.makeRecord(
        logger.name, level, __file__, 0, text, (_told(facts),), caught, "__call__", _extra(facts)
    )
    if error is not None:
        # What formatters take that write text: the job's own code has said what is in it.
        record.exc_text = printable_lines(traceback_text(error).rstrip())
    return record


def _extra(facts: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_" if name in _TAKEN else name: value for name, value in facts.items()}


def _facts(event: Event) -> dict[str, Any]:
    """The event's fields as plain data, its kind, and what its error says."""
    kind: Any = type(event)
    facts = {name: getattr(event, name) for name in _names_of(kind)}
    facts["kind"] = kind.__name__
    if "outcome" in facts:
        facts["outcome"] = facts["outcome"].value
    error = getattr(event, "error", None)
    if error is not None:
        facts["error_type"], facts["error_message"] = type_name(error), first_line(error)
    return facts


@cache
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in ("at", "error"))


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, and some of them in words, as a terminal may be given them."""
    seconds, total = facts.get("seconds"), facts.get("total")
    where = facts.get("where")
    return {
        **{name: _shown(value) for name, value in facts.items()},
        "error": printable(f"{facts.get('error_type')}: {facts.get('error_message')}"),
        "how": str(facts.get("outcome")).replace("_", " "),
        "place": "" if not where else printable(f" at {where}"),
        "stack": printable_lines(str(facts.get("stack")).rstrip()),
        "limit": "without a limit" if seconds is None else f"within {seconds:g} s",
        "out_of": "" if total is None else f" of {total}",
    }


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return ", ".join(str(_shown(one)) for one in value)
    return printable(value) if isinstance(value, str) else value


def _words(name: str) -> str:
    """``JobCancelled`` as ``job was cancelled``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
