"""Jobs between two attempts: on the timers, and then back in the queue, by their priority (`JobQueue.put_ranked`).

`pools.core.settlement` puts them here, as `rules.retry` says.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures._base import PENDING
from contextlib import suppress
from typing import NamedTuple

from steadypool.model.clock import monotonic
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.limits import Limits
from steadypool.pools.core.shared import Job, Shared


class Waiting(NamedTuple):
    """Where the jobs of one pool wait that no worker may take yet."""

    retries: Retries
    limits: Limits


class Retries:
    """The jobs of one pool that wait for their next attempt: they are among the pool's timers."""

    def __init__(self, shared: Shared, counts: Counts, limits: Limits, wake_worker: Callable[[], None]) -> None:
        self._shared = shared
        self._counts = counts
        self._limits = limits
        self._wake_worker = wake_worker

    def put(self, job: Job, error: BaseException, delay: float) -> None:
        """Have the job run again in *delay* seconds; its last attempt ended with *error*. The lock is held."""
        job._told = job._pending_error = job._stop_event = job._attempt_ends = None
        job._last_error = error
        job._state = PENDING
        self._counts.retrying += 1
        self._counts.retries += 1
        self._limits.free(job)
        job._entry = self._shared.timers.add(monotonic() + delay, self._is_due, job)

    def _is_due(self, job: Job) -> None:
        with self._shared.lock:
            self._counts.retrying -= 1
            job._entry = None
            if job._gated is not None:
                self._limits.hold_again(job)
            else:
                self._shared.queue.put_ranked(job, has_room=False)
        with suppress(RuntimeError):
            self._wake_worker()  # no thread can be started now: the job stays in the queue for the next one

    def jobs(self) -> list[Job]:
        """Those that wait now."""
        if not self._counts.retrying:
            return []
        with self._shared.lock:
            return [args[0] for args in self._shared.timers.planned(self._is_due)]

    def take(self, job: Job) -> bool:
        """Take a job that waits for its next attempt; false if it does not."""
        with self._shared.lock:
            if not self._shared.timers.drop(job._entry):
                return False
            job._entry = None
            self._counts.retrying -= 1
            return True
