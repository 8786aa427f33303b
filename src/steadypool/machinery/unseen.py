"""A failure whose future nobody ever looked at is reported once, when the future is freed."""

from __future__ import annotations

import _thread
import gc
import logging
import sys

_collecting = False


def _note_collection(phase: str, info: dict[str, int]) -> None:
    global _collecting
    _collecting = phase == "start"


class Unseen:
    """Belongs to the future of a failed job and dies with it.

    An object of its own, so that only failures pay for a finalizer (asyncio's tasks have it in the future itself).

    The report is made at once when the last reference goes. When the garbage collector frees the future it can
    interrupt any code, which may hold any lock of a log handler's; then a thread of its own reports.
    """

    __slots__ = ("error", "job_id", "seen", "task")

    def __init__(self, job_id: str, task: str, error: BaseException) -> None:
        if _note_collection not in gc.callbacks:
            gc.callbacks.append(_note_collection)
        self.job_id = job_id
        self.task = task
        self.error = error
        self.seen = False

    def __del__(self) -> None:
        if self.seen or sys.is_finalizing():
            return
        facts = (self.job_id, self.task, self.error)
        if not _collecting:
            _report(*facts)
            return
        try:
            _thread.start_new_thread(_report, facts)
        except RuntimeError:
            return  # at interpreter exit, from 3.12 on: the pool's own report names the failure


def _report(job_id: str, task: str, error: BaseException) -> None:
    logger = logging.getLogger("steadypool")
    logger.error("job %s (%s) failed and nobody looked at its future", job_id, task, exc_info=error)
