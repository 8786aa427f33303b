"""Limits and lanes of the jobs of one pool: who waits at which gate, and when its places are free again.

A job with gates is held (`primitives.held_jobs`) until a worker draws it from the queue. From then on it holds its
gates, until its attempt has ended: the worker has come back from it, its process is dead, or the pool has left its
thread behind. What comes first is said to `Limits.free`, and said twice it is the same. A job that is settled while its
attempt goes on (a time limit) holds them on.

A job that has ended says so by `Settlement.drop_alarm`. Jobs with gates always have an alarm, if only `NEVER_DUE`, so
that the short ways on which most jobs end need no look of their own.
"""

from __future__ import annotations

from contextlib import suppress

from steadypool.model.call_gates import CallGates
from steadypool.pools.core.functions import whole_call
from steadypool.pools.core.shared import Job, Shared
from steadypool.pools.core.workers import Workers
from steadypool.primitives.gates import GATES, GatedCall
from steadypool.primitives.held_jobs import HeldJobs
from steadypool.primitives.timers import NEVER_DUE
from steadypool.rules.limits import why_held


class Limits:
    """Lets the jobs of one pool through as their gates open."""

    def __init__(self, shared: Shared, workers: Workers) -> None:
        self._shared = shared
        self._workers = workers
        self._held: HeldJobs | None = None
        """``None`` until a job comes that needs it."""

    def hold(self, job: Job, gates: CallGates, *, has_room: bool) -> None:
        """Have a new job wait until it may pass.

        Raises:
            Exception: no key can be made of its arguments.
        """
        job._gated = GatedCall(gates.of(*whole_call(gates.fn, job._fn, job._args, job._kwargs)))
        if job._alarm is None:
            job._alarm = NEVER_DUE
        self.hold_again(job, has_room=has_room)

    def hold_again(self, job: Job, *, has_room: bool = False) -> None:
        """The same for one that has waited for its next attempt."""
        if self._held is None:
            with self._shared.lock:
                if self._held is None:  # another thread may have come first
                    self._held = HeldJobs(self._workers.supervision.look_soon)
        self._shared.queue.hold(job, self._held, has_room=has_room)

    def attempt_ended(self, job: Job) -> None:
        """The job has come to its end: its places are free, unless its attempt goes on."""
        worker = job._worker
        if worker is None or not self._workers.still_runs(worker, job):
            self.free(job)

    def free(self, job: Job) -> None:
        """No attempt of the job runs any more, or none that the pool counts."""
        call: GatedCall | None = job._gated
        if call is not None and call.holds:
            GATES.release(job, self._held, began=job.attempts > 0)
            self._shared.queue.offer()

    def wake(self) -> None:
        """Have a worker look, if a job could go."""
        if self._held is not None:
            self._shared.queue.offer()
            if self._held.offered:
                with suppress(RuntimeError):  # no thread can be started now: the job stays for the next worker
                    self._workers.wake_worker()

    def look(self) -> float | None:
        """The supervisor looks at what may pass by now; returns when to look again."""
        held = self._held
        if held is None:
            return None
        held.open_due()
        self.wake()
        return held.opens

    def next_dropped(self) -> Job | None:
        """A job that is to end as cancelled."""
        try:
            job: Job | None = None if self._held is None else self._held.dropped.popleft()
        except IndexError:
            return None
        if job is not None and job._has_room:
            self._shared.queue.give_room()
        return job

    def held_back(self) -> dict[str, int]:
        """How many jobs each limit holds back."""
        found: dict[str, int] = {}
        for gate, _, _, count in () if self._held is None else self._held.held_back():
            found[gate.gate.name] = found.get(gate.gate.name, 0) + count
        return found

    def reasons(self) -> list[tuple[str, int]]:
        """Why jobs are held back, in words, each with their number; the most first."""
        found: dict[str, int] = {}
        for gate, allowed, wait, count in () if self._held is None else self._held.held_back():
            why = why_held(*gate.gate, allowed, gate.running, wait)
            found[why] = found.get(why, 0) + count
        return sorted(found.items(), key=lambda one: -one[1])
