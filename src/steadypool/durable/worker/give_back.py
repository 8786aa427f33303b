"""Claims that wait behind a job that takes long go back to the queue: another worker may be idle.

A worker claims ahead what it gets through in a moment, by what it has measured (`rules.claim_size`). If what runs then
takes unexpectedly long, all that is held without a slot has waited in vain after a second. It is handed back by its
pool, unstarted, and settled as a drain settles it: no attempt is spent, and it has its old place in the queue. The
window closes with that: the worker claims for free slots alone until ends show that jobs are short again. So a worker
that is alone does not claim again what it has just given back.

Races:

* *A slot becomes free just now.* The job leaves the pool's queue in one atomic step (`pools.core.termination`; a job
  for a loop: `LoopFuture.take`). Either it begins, and stays; or it is ours, and the free slot claims anew.
* *The pool drains, a lease is lost, a cancel comes.* Each settles the job by the same step, so one of them does. A job
  that was cancelled and comes back is cancelled by the engine, one whose lease was lost is refused by its fence.
* *A limit or a lane.* The place that a claim has taken is free once it is given back, and a start by its rate, too.

On an event loop a job that does not await holds up all others, in free slots, too. What the loop has not begun after
that second goes back from there, and nothing more is claimed for the loop until it answers (`Room.shut`).

Short jobs that travel to a process together (`durable.worker.dispatch`) go back together while the first of them has
not begun. After that the process is kept from beginning the others (`pools.processes.parts`), and those go back.
"""

from __future__ import annotations

from collections.abc import Sequence

from steadypool.durable.worker.dispatch import given_back
from steadypool.durable.worker.in_flight import HeldClaim, InFlight
from steadypool.durable.worker.kind_pools import KindPools
from steadypool.durable.worker.kinds import SlotGroup
from steadypool.durable.worker.room import Room
from steadypool.model.states import Outcome
from steadypool.rules.claim_size import LONGEST_BEHIND

LOOK_EVERY = 0.25
"""Seconds between two looks at all that is held, while a job runs for longer than `LONGEST_BEHIND`."""


class GiveBack:
    """For one worker. On its loop."""

    def __init__(self, in_flight: InFlight, pools: KindPools, room: Room) -> None:
        self._in_flight = in_flight
        self._pools = pools
        self._room = room
        self._due = 0.0

    def run_due(self, now: float) -> None:
        """Have the pools hand back what has waited for too long: it has ended when this returns, or is settled."""
        if self._room.shut:
            self._note_shut()
        held_now = self._in_flight.held.values()
        first = next(iter(held_now), None)
        if first is None or now < first.since + LONGEST_BEHIND or now < self._due:
            return
        self._due = now + LOOK_EVERY
        self._hand_back([held for held in held_now if now >= held.since + LONGEST_BEHIND])

    def _hand_back(self, late: Sequence[HeldClaim]) -> None:
        """The latest claims first: those before them are nearer to a slot."""
        room, beyond = self._room, dict[SlotGroup, int]()
        for held in reversed(late):
            group = room.group_of(held.kind)
            beyond.setdefault(group, room.beyond_slots(group))
            if beyond[group] > 0 or held.kind == "async":
                self._pools.hand_back(held.kind, held.future)
                returned = held.future.outcome is Outcome.RETURNED  # by this call, or with another of its bundle
                if not returned and held.bundle is not None and held.bundle.take_back(held):
                    self._in_flight.settle(held, given_back(held.claim))
                    returned = True
                if returned:
                    beyond[group] -= 1
                    room.close_window(group)
        self._note_shut()

    def _note_shut(self) -> None:
        self._room.shut = frozenset(kind for kind in self._pools.opened if self._pools.is_blocked(kind))
