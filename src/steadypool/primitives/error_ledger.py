"""The error ledger: failures grouped by what failed and where. Bounded, whatever fails.

A group keeps the first traceback, since the first failure is often the cause of those that follow, and the latest few
jobs with their arguments, since those can still be looked into. All else is numbers.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import WrapperDescriptorType

from steadypool.model.clock import monotonic
from steadypool.model.errors import JobTimeout, RemoteError
from steadypool.model.reports import ErrorGroup
from steadypool.rules.rates import after_event, faded

MAX_GROUPS = 200
"""The group that was seen longest ago makes room for a new one."""
MAX_JOB_IDS = 10
MAX_TEXT = 20_000
"""Characters of traceback kept for a group."""

MAX_CAUSES = 30
PLAIN = frozenset({str, bytes, int, float, complex, bool, type(None)})
"""Types whose values are shown without any code of the user's."""

Key = tuple[str, str, str]
Describe = Callable[[BaseException], tuple[str, str]]
"""Gives the traceback and the message of an error as texts."""


@dataclass
class _Group:
    text: str
    message: str
    first_seen: float
    last_seen: float = 0.0
    count: int = 0
    attempts: int = 0
    rate: float = 0.0
    rated_at: float = 0.0
    """When `rate` was so, by the ledger's monotonic clock: the rate must not jump when somebody sets the date."""
    jobs: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MAX_JOB_IDS))

    def add(self, job_id: str, arguments: str, attempts: int, now: float) -> None:
        self.count += 1
        self.attempts += attempts
        self.last_seen = time.time()
        self.rate, self.rated_at = after_event(self.rate, now - self.rated_at), now
        self.jobs.append((job_id, arguments))

    def row(self, key: Key, now: float) -> ErrorGroup:
        return ErrorGroup(
            *key,
            self.count,
            self.first_seen,
            self.last_seen,
            self.text,
            tuple(job_id for job_id, _ in self.jobs),
            self.message,
            tuple(arguments for _, arguments in self.jobs),
            self.attempts,
            faded(self.rate, now - self.rated_at),
        )


class Ledger:
    """Counts failures. Any thread may call any method."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, _Group] = OrderedDict()
        # Reentrant: a finalizer that the garbage collector runs in the middle may fail a job of its own.
        self._lock = threading.RLock()

    def renew_lock(self) -> None:
        """In a forked child the lock may be held by a thread that does not exist there."""
        self._lock = threading.RLock()

    def add(
        self,
        job_id: str,
        task: str,
        error: BaseException,
        arguments: str = "",
        attempts: int = 1,
        describe: Describe | None = None,
    ) -> Key:
        """Count one failed job; returns what its group is found by. *describe* is asked for a new group's texts."""
        key = (task, type_name(error), where_raised(error))
        texts = None if key in self._groups else (describe or described)(error)  # the user's code: not under the lock
        with self._lock:
            group = self._groups.get(key)
            if group is None:
                trace, message = texts or ("", "")
                group = self._groups[key] = _Group(trace, message, time.time())
                if len(self._groups) > MAX_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            group.add(job_id, arguments, attempts, monotonic())
        return key

    def group(self, key: Key) -> ErrorGroup | None:
        """One group as it is now; ``None`` if it has made room for others."""
        with self._lock:
            found = self._groups.get(key)
            return None if found is None else found.row(key, monotonic())

    def groups(self) -> tuple[ErrorGroup, ...]:
        """The groups, the most frequent first."""
        with self._lock:
            now = monotonic()
            rows = [group.row(key, now) for key, group in self._groups.items()]
        return tuple(sorted(rows, key=lambda row: -row.count))


def described(error: BaseException) -> tuple[str, str]:
    """Its traceback and its message. Never raises, but may take as long as the exception's own methods do."""
    return traceback_text(error), first_line(error)


def is_quickly_described(error: BaseException | None) -> bool:
    """Whether `described` runs no code of the user's, which might take its time."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return True
        if not _says_itself(error):
            return False
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _says_itself(error: BaseException) -> bool:
    cls = type(error)
    if type(cls) is not type or isinstance(error, BaseExceptionGroup):
        return False
    module: object = cls.__module__  # a class may say anything there
    if not isinstance(module, str):
        return False
    if module.startswith("steadypool."):
        return True
    by_python = type(cls.__str__) is WrapperDescriptorType and type(cls.__repr__) is WrapperDescriptorType
    return by_python and all(type(value) in PLAIN for value in error.args)


def type_name(error: BaseException) -> str:
    """``module.Class``, without the module for built-in ones; the original's for one that stands in for it."""
    if isinstance(error, RemoteError) and error.type_name:
        return error.type_name
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def where_raised(error: BaseException) -> str:
    """``file:line in function`` of the line that raised, or of the stack that the error carries."""
    known = _carried_where(error)
    if known is not None:
        return known
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return place(code.co_filename, trace.tb_lineno, code.co_name)


def _carried_where(error: BaseException | None) -> str | None:
    """Where it was raised, if that came with it or with a cause of it from another process."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return None
        # Not getattr: an exception's own ``__getattr__`` may do anything.
        known = error.__dict__.get("steadypool_where")
        if isinstance(known, str):
            return known
        if error.__traceback__ is not None:
            return None
        error = error.__cause__
    return None


def place(filename: str, line: int | None, function: str) -> str:
    """How a place in the code is written in reports; the file's last two parts are enough to find it."""
    short = os.sep.join(filename.split(os.sep)[-2:])
    return f"{short}:{line} in {function}"


def first_line(error: BaseException) -> str:
    """The message's first line, shortened. Never raises, though ``__str__`` may."""
    try:
        text = str(error.args[0]) if isinstance(error, JobTimeout) and error.args else str(error)
    except BaseException as broken:
        text = f"<str() of the exception raised {type(broken).__name__}>"
    return str.split(text, "\n", 1)[0][:300]


def traceback_text(error: BaseException, *, markers: bool = True) -> str:
    """The whole traceback as text, bounded. Never raises, though the exception's own methods may.

    Without *markers*, nothing below the lines says which part of them raised, and causes are left out.
    """
    try:
        text = "".join(traceback.format_exception(error) if markers else _plain_lines(error))
    except BaseException as broken:
        text = f"{type_name(error)}: <formatting the exception raised {type(broken).__name__}>"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT // 2]}\n...\n{text[-MAX_TEXT // 2 :]}"


def _plain_lines(error: BaseException) -> list[str]:
    rows = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in traceback.walk_tb(error.__traceback__)]
    frames = [traceback.FrameSummary(file, line or 0, name) for file, line, name in rows]
    head = "Traceback (most recent call last):\n"
    return [head, *traceback.format_list(frames), *traceback.format_exception_only(error)]
