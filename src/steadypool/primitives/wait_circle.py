"""Whether a wait could never end, since the job that is waited for needs the end of the one that waits.

It may wait for that one, itself or through others; or that one, or some who wait for it, hold all places of a limit
that it has to pass. What is not known to wait may end at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from steadypool.primitives.gates import GATES, GatedCall
from steadypool.rules.limits import opens_at

MOST_LOOKS = 1000
"""Jobs that are looked at. If it takes more to know, it is not known."""
RunnerOf = Callable[[Any], Any]
"""What runs a job of the pool; its ``waiting_for`` is the job for which that one waits. ``None``: nothing runs it."""


def closes_circle(own: object, job: Any, runner_of: RunnerOf) -> bool:
    """Whether *job* cannot end before the job that *own* runs."""
    if job is None:
        return False
    looks = count()

    def may_end(job: Any, before: frozenset[int]) -> bool:
        """Whether it may, when those before it on the way do not."""
        while True:
            if id(job) in before:
                return False
            if next(looks) > MOST_LOOKS:
                return True
            before |= {id(job)}
            runner = runner_of(job)
            if runner is own:
                return False
            if runner is None:
                return all(any(may_end(holder, before) for holder in holders) for holders in _held_by(job))
            job = runner.waiting_for
            if job is None:
                return True

    with GATES.lock:
        return not may_end(job, frozenset())


def _held_by(job: Any) -> list[list[Any]]:
    """Who has the places of each limit that holds the job back."""
    call: GatedCall | None = job._gated
    if call is None or call.holds:
        return []
    full = [gate for gate, allowed in call.passage if opens_at(allowed, gate.running, None) == float("inf")]
    return [list(gate.holders) for gate in full]
