"""The gates of this program: for each limit and key, how many hold it and when the next start is due.

All pools share them, so that a limit holds for the program and not for each pool. `primitives.held_jobs` has the jobs
that wait at them. Everything here changes under one lock, ``GATES.lock``, under which no other is taken and no code of
the user's runs. A gate that says nothing any more (no job uses it, no start is due later) is forgotten.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakSet

from steadypool.model.call_gates import Gate, GatesOfCall
from steadypool.model.clock import monotonic
from steadypool.model.limit import Over
from steadypool.rules.limits import Allowance, after_refund, after_start, allowance_of, opens_at

SWEEP_AT = 256
"""Gates from which on those are looked for that say nothing any more."""


class Waiters(Protocol):
    """The jobs of one pool that wait at gates."""

    def reopen(self, gate: OpenGate) -> None:
        """The gate may let another through. The lock is held."""

    def wake(self) -> None:
        """Have the pool's supervisor look. From any thread, and without a lock."""

    def drop(self, job: Any, reason: str) -> None:
        """Have the job end as cancelled. The lock is held."""


class OpenGate:
    """What is known of one gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.holders: set[Any] = set()
        """The jobs that have passed it, and have not ended."""
        self.tat: float | None = None
        self.users = 0
        """Calls that wait at it or hold it."""
        self.parked: WeakSet[Waiters] = WeakSet()
        """The pools with jobs that found it closed."""
        self.choosy: dict[Any, Waiters] = {}
        """Jobs that wait at it with another ``over`` than ``"wait"``, in the order in which they came."""

    @property
    def running(self) -> int:
        """How many hold it."""
        return len(self.holders)


Passage = tuple[tuple[OpenGate, Allowance], ...]
"""The gates that some calls have to pass, each with what it allows them."""


class GatedCall:
    """What one job has to pass, and whether it has."""

    __slots__ = ("allowed", "gates", "holds", "lane", "of_call", "over", "reason")

    def __init__(self, call: GatesOfCall) -> None:
        self.of_call = call.gates
        self.allowed: tuple[Allowance, ...] = tuple(allowance_of(limit) for limit in call.limits)
        self.over: tuple[Over, ...] = tuple(limit.over for limit in call.limits)
        self.lane = call.lane
        self.gates: tuple[OpenGate, ...] = ()
        """While it waits or holds."""
        self.holds = False
        self.reason = ""
        """Why it ends as cancelled, once it does."""

    @property
    def passage(self) -> Passage:
        """The gates, with what they allow."""
        return tuple(zip(self.gates, self.allowed, strict=True))

    def is_choosy(self) -> bool:
        """Whether it may end because a gate is closed."""
        return any(over != "wait" for over in self.over)


def closed_by(passage: Passage, now: float) -> tuple[OpenGate, Allowance, float] | None:
    """A gate that lets none of these calls through now, and when it opens; ``inf`` if a job has to end first."""
    for gate, allowed in passage:
        moment = opens_at(allowed, gate.running, gate.tat)
        if moment > now:
            return gate, allowed, moment
    return None


class Gates:
    """All gates, by limit and key."""

    def __init__(self) -> None:
        # Reentrant: a finalizer that the garbage collector runs in the middle may submit a job.
        self.lock = threading.RLock()
        self._known: dict[Gate, OpenGate] = {}
        self._sweep_at = SWEEP_AT

    def begin_use(self, call: GatedCall, now: float) -> None:
        """The call comes to its gates. The lock is held."""
        if len(self._known) >= self._sweep_at:
            self._sweep(now)
        call.gates = tuple(self._known.setdefault(gate, OpenGate(gate)) for gate in call.of_call)
        for gate in call.gates:
            gate.users += 1

    def end_use(self, call: GatedCall, now: float) -> None:
        """The call has left its gates. The lock is held."""
        gates, call.gates = call.gates, ()
        for gate in gates:
            gate.users -= 1
            if not gate.users and (gate.tat is None or gate.tat <= now):
                self._known.pop(gate.gate, None)

    def acquire(self, job: Any, now: float) -> None:
        """The job passes its gates, which are open, and holds them. The lock is held."""
        call: GatedCall = job._gated
        call.holds = True
        for gate, allowed in call.passage:
            gate.holders.add(job)
            gate.tat = after_start(allowed, gate.tat, now)

    def release(self, job: Any, own: Waiters | None, *, began: bool) -> None:
        """The job has ended, if it *began* at all: others may pass. Said twice it is the same.

        *own* are those of the job's pool, which looks by itself.
        """
        now = monotonic()
        call: GatedCall = job._gated
        with self.lock:
            if not call.holds:
                return
            call.holds = False
            gates = call.gates
            for gate, allowed in call.passage:
                gate.holders.discard(job)
                if not began:
                    gate.tat = after_refund(allowed, gate.tat)
            self.end_use(call, now)
            for gate in gates:
                for waiters in list(gate.parked):
                    waiters.reopen(gate)
                    if waiters is not own:
                        waiters.wake()

    def choose(self, gates: Iterable[OpenGate], now: float) -> None:
        """End what does not wait at a closed gate: ``"discard"``, and of ``"replace"`` all but the newest. Locked."""
        for gate in gates:
            newest: Any = None
            for job, waiters in list(gate.choosy.items()):
                call: GatedCall = job._gated
                at = call.gates.index(gate)
                if opens_at(call.allowed[at], gate.running, gate.tat) <= now:
                    continue
                if call.over[at] == "discard":
                    waiters.drop(job, f"limit {gate.gate.name} is reached, and its over is 'discard'")
                elif call.over[at] == "replace":
                    older, newest = _by_age(newest, job)
                    if older is not None:
                        gate.choosy[older].drop(older, f"job {newest.job_id} has replaced it at limit {gate.gate.name}")

    def _sweep(self, now: float) -> None:
        for name, gate in list(self._known.items()):
            if not gate.users and (gate.tat is None or gate.tat <= now):
                del self._known[name]
        self._sweep_at = max(SWEEP_AT, 2 * len(self._known))

    def after_fork(self) -> None:
        """In a forked child: who holds the gates is the parent's, and the lock may be held for ever."""
        self.lock = threading.RLock()
        self._known = {}


def _by_age(one: Any, other: Any) -> tuple[Any, Any]:
    """The older of two jobs, and the newer."""
    if one is None:
        return None, other
    return (one, other) if (one._submitted, one._number) <= (other._submitted, other._number) else (other, one)


GATES = Gates()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=GATES.after_fork)
