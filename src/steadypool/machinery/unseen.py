"""A failure whose future nobody ever looked at is reported once, when the future is freed."""

from __future__ import annotations

import logging
import sys


class Unseen:
    """Belongs to the future of a failed job and dies with it.

    An object of its own, so that only failures pay for a finalizer (asyncio's tasks have it in the future itself).
    """

    __slots__ = ("error", "job_id", "seen", "task")

    def __init__(self, job_id: str, task: str, error: BaseException) -> None:
        self.job_id = job_id
        self.task = task
        self.error = error
        self.seen = False

    def __del__(self) -> None:
        if self.seen or sys.is_finalizing():
            return
        logging.getLogger("steadypool").error(
            "job %s (%s) failed and nobody looked at its future", self.job_id, self.task, exc_info=self.error
        )
