"""What ``steadypool work`` logs, and its jobs: in lines for people, or in JSON for programs; on standard error."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steadypool.model.printable import printable_lines
from steadypool.primitives.job_context import current_job

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
OURS = "steadypool"
"""The logger of the worker's own lines."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How it is logged. Goes to each process of a pool."""

    level: str = "info"
    format: str | None = None
    """``None``: as the program has set it up while its modules were imported, else as text."""

    def apply(self) -> None:
        """Set up the logging of this process. What the program's modules have set up stays, if there is no format."""
        root = logging.getLogger()
        level = getattr(logging, self.level.upper())
        logging.getLogger(OURS).setLevel(level)
        if self.format is None and _is_set_up(root):
            return
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines() if self.format == "json" else TextLines(self.level == "debug"))
        if self.format is None:
            handler.addFilter(_is_not_shown_yet)
        else:
            _take_over(handler)
        root.handlers[:] = [handler]
        root.setLevel(level)


def _is_set_up(logger: logging.Logger) -> bool:
    return any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers)


def _is_not_shown_yet(record: logging.LogRecord) -> bool:
    """Whether no logger on the way to the root has put it on the terminal itself, as that of Django does."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:
        if any(record.levelno >= one.level and one.filter(record) for one in logger.handlers if _is_console(one)):
            return False
        logger = logger.parent
    return True


def _take_over(handler: logging.Handler) -> None:
    """Have *handler* say what other loggers have put on the terminal."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and any(map(_is_console, logger.handlers)):
            others = [one for one in logger.handlers if not _is_console(one)]
            logger.handlers[:] = others if logger.propagate else [*others, handler]


def _is_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)


class TextLines(logging.Formatter):
    """``2026-01-31T12:00:00+0100 INFO shop: [job-7] charging 3``; further lines of a message are indented.

    Our own lines come without a traceback, unless *full*: what is said of a job, ``steadypool jobs show`` has it all.
    """

    def __init__(self, full: bool) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S%z")
        self._full = full

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; with the traceback, if it has one, below it."""
        job = current_job()
        about = f" [{job.id}]" if job and record.name != OURS else ""
        text = f"{self.formatTime(record, self.datefmt)} {record.levelname} {record.name}:{about} {record.getMessage()}"
        if self._full or record.name != OURS:
            text = "\n".join([text, *self._details(record)])
        return printable_lines(text).replace("\n", "\n    ")

    def _details(self, record: logging.LogRecord) -> list[str]:
        details = [record.exc_text] if record.exc_text else []
        if record.exc_info and not details:
            details = [self.formatException(record.exc_info)]
        return [*details, self.formatStack(record.stack_info)] if record.stack_info else details


_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One object on each line: ``time``, ``level``, ``logger``, ``message``, and what the record has beside those."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        job = current_job()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {"job_id": job.id, "task": job.task} if job else {}
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)
        try:
            return json.dumps(line, default=_as_text)
        except (TypeError, ValueError):  # a key that is none, or a circle
            return json.dumps({name: _as_text(value) for name, value in line.items()})


def _as_text(value: object) -> str:
    try:
        return str(value)
    except BaseException as broken:  # SystemExit included: it is not for us
        return f"<str() raised {type(broken).__name__}>"
