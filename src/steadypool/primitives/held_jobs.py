"""The jobs of one pool that a limit holds back, or that wait for the turn of their lane.

Theory of operation
-------------------
They are part of the pool's queue (`primitives.job_queue`), and one of the places that a job can be in: ``jobs``. It is
left by one atomic step, ``dict.pop``. All else here says in which order they leave, may hold what has left already, and
changes under ``GATES.lock``.

Jobs that have to pass the same gates are a `Group`: they are let through or held back together. In a group there are
lanes, which take turns; in a lane the order is that of priority and age. Groups take turns as well:

* ``_ring`` has those of which no gate is known to be closed;
* ``_parked`` has the others, each at one gate that it found closed. Such a gate knows of this pool.
* A gate that may be open again stands in ``_reopened``. Its groups are looked at one after the other for as long as it
  is open, so that what a freed place costs does not depend on how many wait for it.

The garbage collector may run a finalizer between any two lines, and that may submit a job, and so come here again under
the same lock. So what is taken out of a list, or out of a dictionary, is looked at once it is out.

While a job could pass, the queue's heap has this object as an entry, with the priority and age of that job. The worker
that comes to it calls `draw`. So a job passes its gates in the moment a worker takes it, what is closed holds up no
other job, and a pool without limits has nothing to look at.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.primitives.gates import GATES, GatedCall, OpenGate, Passage, closed_by
from steadypool.rules.limits import Allowance, opens_at

Waiting = tuple[int, int, Any]
"""A job that waits: how it ranks in its lane, its number by age, itself."""
SWEEP_AFTER = 64
"""After so many more jobs, and twice those that wait, a group forgets those that have left."""


class Group:
    """Jobs that have to pass the same gates."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        self.lanes: dict[str, list[Waiting]] = {}
        """Each a heap. The first is the one whose turn it is."""
        self.listed = False
        """Whether it is in the ring, or parked."""
        self._adds_until_sweep = SWEEP_AFTER

    def add(self, job: Any, jobs: dict[Any, Any]) -> None:
        """Have a job of *jobs* wait in its lane."""
        lane = self.lanes.setdefault(job._gated.lane, [])
        heapq.heappush(lane, (-job._options.priority, job._number, job))
        self._adds_until_sweep -= 1
        if not self._adds_until_sweep:
            self._sweep(jobs)

    def _sweep(self, jobs: dict[Any, Any]) -> None:
        """Forget what has left in another way than by its turn: not so often that it costs, nor so seldom."""
        left = 0
        for lane in list(self.lanes.values()):
            before = len(lane)
            waiting = [entry for entry in lane if entry[2] in jobs]
            heapq.heapify(waiting)
            if len(lane) == before:
                lane[:] = waiting
            left += len(lane)
        self._adds_until_sweep = SWEEP_AFTER + 2 * left

    def next(self, jobs: dict[Any, Any]) -> Waiting | None:
        """The job whose turn it is, of those that wait."""
        while self.lanes:
            name = next(iter(self.lanes))
            lane = self.lanes[name]
            while lane:
                entry = lane[0]
                if entry[2] in jobs:
                    return entry
                popped = heapq.heappop(lane)
                if popped is not entry:
                    heapq.heappush(lane, popped)
            self._put_last(name)
        return None

    def took(self, lane: str) -> None:
        """A job of that lane has left: it is the next lane's turn."""
        self._put_last(lane)

    def _put_last(self, name: str) -> None:
        """The lane comes after the others, if there is anything in it."""
        lane = self.lanes.pop(name, [])
        if lane:
            known = self.lanes.setdefault(name, lane)
            for entry in lane if known is not lane else ():
                heapq.heappush(known, entry)

    def waiting(self, jobs: dict[Any, Any]) -> int:
        """How many of its jobs wait."""
        return sum(entry[2] in jobs for lane in self.lanes.values() for entry in lane)


class HeldJobs:
    """Jobs of one pool that wait at gates, or for their turn. A worker takes them from the pool's queue."""

    _has_room = False  # as an entry of the heap

    def __init__(self, wake: Callable[[], None]) -> None:
        """*wake*: see `gates.Waiters`."""
        self.jobs: dict[Any, Any] = {}
        """Each stands for itself."""
        self.dropped: deque[Any] = deque()
        """Jobs that are to end as cancelled, `GatedCall.reason` says why: for the supervisor."""
        self.offered = False
        """Whether the queue's heap has this as an entry."""
        self.wake = wake
        self._groups: dict[Passage, Group] = {}
        self._ring: deque[Group] = deque()
        self._parked: dict[OpenGate, dict[Allowance, deque[Group]]] = {}
        self._reopened: deque[tuple[OpenGate, Allowance]] = deque()
        self._openings: list[tuple[float, int, OpenGate, Allowance]] = []
        """A heap of the moments at which gates open that their rate has closed."""
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self.jobs) + len(self.dropped)

    def add(self, job: Any) -> None:
        """Have a job wait. It may be dropped at once, or by it another one."""
        call: GatedCall = job._gated
        now = monotonic()
        with GATES.lock:
            GATES.begin_use(call, now)
            self.jobs[job] = job
            passage = call.passage
            group = self._groups.get(passage)
            if group is None:
                group = self._groups[passage] = Group(passage)
            group.add(job, self.jobs)
            if not group.listed:
                group.listed = True
                self._ring.append(group)
            if call.is_choosy():
                for gate in call.gates:
                    gate.choosy[job] = self
                GATES.choose(call.gates, now)

    def remove(self, job: Any) -> bool:
        """Take this one out; false if it does not wait here."""
        with GATES.lock:
            if self.jobs.pop(job, None) is None:
                return False
            self._leaves(job)
        return True

    def take_any(self) -> Any:
        """Take one that waits, in order to settle it; ``None`` if none does."""
        with GATES.lock:
            job = next(iter(self.jobs), None)
            return job if job is not None and self.remove(job) else None

    def drop(self, job: Any, reason: str) -> None:
        """See `gates.Waiters`."""
        job._gated.reason = reason
        self.dropped.extend(map(self.jobs.pop, (job,)))  # in one step: it is in one of the two
        self._leaves(job)
        self.wake()

    def _leaves(self, job: Any) -> None:
        call: GatedCall = job._gated
        self._forget_choice(call, job)
        if not call.holds:
            GATES.end_use(call, monotonic())

    def _forget_choice(self, call: GatedCall, job: Any) -> None:
        for gate in call.gates:
            gate.choosy.pop(job, None)

    # -- who is next

    def next(self) -> Waiting | None:
        """The job that passes next, if one can pass now."""
        with GATES.lock:
            found = self._next(monotonic())
            return None if found is None else found[1]

    def draw(self, place: list[Any]) -> Any:
        """Have the next one pass, and put it at the end of *place*; ``None`` if none can pass any more."""
        now = monotonic()
        with GATES.lock:
            found = self._next(now)
            if found is None:
                return None
            group, (_, _, job) = found
            call: GatedCall = job._gated
            if not call.holds:  # it does if Ctrl-C came between this line and the next one, the last time
                GATES.acquire(job, now)
            place.extend(map(self.jobs.pop, (job,)))
            group.took(call.lane)
            self._ring.rotate(-1)
            self._forget_choice(call, job)
            GATES.choose(call.gates, now)
            return job

    def _next(self, now: float) -> tuple[Group, Waiting] | None:
        """The next job, and its group, which is then the first of the ring."""
        while (group := self._next_group(now)) is not None:
            entry = group.next(self.jobs)
            if entry is None:
                group.listed = False
                self._groups.pop(group.passage, None)
                entry = group.next(self.jobs)
                if entry is None:
                    continue
                group.listed = True
                self._groups.setdefault(group.passage, group)
            closed = None if entry[2]._gated.holds else closed_by(group.passage, now)
            if closed is None:
                self._ring.appendleft(group)
                return group, entry
            self._park(group, *closed)
        return None

    def _next_group(self, now: float) -> Group | None:
        while self._reopened:
            gate, allowed = self._reopened[0]
            parked = self._parked.get(gate, {})
            groups = parked.get(allowed)
            moment = opens_at(allowed, gate.running, gate.tat)
            if groups and moment <= now:
                self._ring.append(groups.popleft())  # to the end of those that are open: they take turns
                break
            self._reopened.popleft()
            if groups:
                self._expect(gate, allowed, moment)
                continue
            self._ring.extend(parked.pop(allowed, ()))
            if not parked:
                for left in self._parked.pop(gate, {}).values():
                    self._ring.extend(left)
        return self._ring.popleft() if self._ring else None

    def _park(self, group: Group, gate: OpenGate, allowed: Allowance, moment: float) -> None:
        groups = self._parked.setdefault(gate, {}).setdefault(allowed, deque())
        groups.append(group)
        if len(groups) == 1:
            self._expect(gate, allowed, moment)

    def _expect(self, gate: OpenGate, allowed: Allowance, moment: float) -> None:
        """Groups wait at this gate: it says so when it opens, or opens at that moment."""
        gate.parked.add(self)
        if moment < inf:
            heapq.heappush(self._openings, (moment, next(self._order), gate, allowed))
            if self._openings[0][0] == moment:
                self.wake()  # it may sleep for longer than that

    # -- what opens

    @property
    def opens(self) -> float | None:
        """When the next gate opens that its rate has closed."""
        openings = self._openings
        return openings[0][0] if openings else None

    def reopen(self, gate: OpenGate) -> None:
        """See `gates.Waiters`."""
        gate.parked.discard(self)
        self._reopened.extend((gate, allowed) for allowed in self._parked.get(gate, ()))

    def open_due(self) -> None:
        """Look again at what a rate has held back until now."""
        now = monotonic()
        with GATES.lock:
            while self._openings and self._openings[0][0] <= now:
                _, _, gate, allowed = heapq.heappop(self._openings)
                self._reopened.append((gate, allowed))

    # -- for looking

    def held_back(self) -> list[tuple[OpenGate, Allowance, float, int]]:
        """Which gates hold jobs back: each with what it allows, the seconds until it opens, and how many jobs."""
        now = monotonic()
        found = []
        with GATES.lock:
            for group in self._groups.values():
                closed, waiting = closed_by(group.passage, now), group.waiting(self.jobs)
                if closed is not None and waiting:
                    gate, allowed, moment = closed
                    found.append((gate, allowed, moment - now, waiting))
        return found
