"""A failure whose future no caller ever looked at is reported once, when the future is freed."""

from __future__ import annotations

import _thread
import gc
import logging
import os
import sys
from collections import deque
from collections.abc import Callable

from steadypool.model.error_text import plain_traceback, shortened

hurried: set[int] = set()
"""Threads that must go on: what they free is reported by another."""
_phases: dict[str, object] = {}
"""The phases of garbage collections, "start" and "stop": the last key is the latest.

Each is popped and set again by functions in C. In a callback in Python the KeyboardInterrupt of a Ctrl-C that came
during the collection would be raised, and the collector ignores what its callbacks raise.
"""
_NOTE_PHASE: tuple[Callable[[str, dict[str, int]], object], ...] = (_phases.pop, _phases.__setitem__)


def _is_collecting() -> bool:
    return next(reversed(_phases), "stop") == "start"


class Unretrieved:
    """Belongs to the future of a failed job and dies with it.

    An object of its own, so that only failures pay for a finalizer (asyncio's tasks have it in the future itself).

    The report is made at once when the last reference goes. When the garbage collector frees the future it can
    interrupt any code, which may hold any lock of a log handler's; then a thread of its own reports. So it does when a
    pool's supervisor lets go of it, since a log handler may take its time.
    """

    __slots__ = ("error", "job_id", "seen", "task")

    def __init__(self, job_id: str, task: str, error: BaseException) -> None:
        if _NOTE_PHASE[0] not in gc.callbacks:
            gc.callbacks.extend(_NOTE_PHASE)
        self.job_id = job_id
        self.task = task
        self.error = error
        self.seen = False

    def __del__(self) -> None:
        if self.seen or sys.is_finalizing():
            return
        if not _is_collecting() and _thread.get_ident() not in hurried:
            _report(self.job_id, self.task, self.error)
            return
        _waiting.append((self.job_id, self.task, self.error))
        _report_elsewhere()


_waiting: deque[tuple[str, str, BaseException]] = deque()
"""What the thread of its own reports: one thread, however many futures a collection frees."""
_turn = _thread.allocate_lock()
"""Held while that thread is there."""


def _report_elsewhere() -> None:
    if not _turn.acquire(blocking=False):
        return  # the thread that has it looks again once it has given it up
    try:
        _thread.start_new_thread(_report_waiting, ())
    except RuntimeError:
        # At interpreter exit, from 3.12 on: the pool's own report names the failures.
        _waiting.clear()
        _turn.release()


def _report_waiting() -> None:
    try:
        while _waiting:
            _report_plainly(*_waiting.popleft())
    finally:
        _turn.release()
        if _waiting:  # what came since it was looked at, or was left by a report that raised
            _report_elsewhere()


def _begin_anew() -> None:
    """In a forked child: the thread is the parent's, and so is what it was to report."""
    global _turn
    _turn = _thread.allocate_lock()
    _waiting.clear()


os.register_at_fork(after_in_child=_begin_anew)


def _report(job_id: str, task: str, error: BaseException) -> None:
    _logger().error(_MESSAGE, job_id, task, exc_info=error)


def _report_plainly(job_id: str, task: str, error: BaseException) -> None:
    # Without exc_info: the handler would format it with markers below the lines, for which `traceback` parses them,
    # and CPython before 3.11.8 and 3.12.2 breaks a parse that the collector has interrupted when another begins.
    text = shortened(plain_traceback(error))
    _logger().error(f"{_MESSAGE}\n%s", job_id, task, text)


def _logger() -> logging.Logger:
    return logging.getLogger("steadypool")


_MESSAGE = "job %s (%s) failed and its error was never retrieved"
