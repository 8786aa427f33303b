"""What a worker may still claim: by the kinds of pool that run its jobs, and by the queues that they come from.

A claim names queues, and leaves out the tasks of kinds that have no room. A queue with slots of its own is claimed from
alone. While there is one kind and no such queue that is one claim without any condition.

What kinds the jobs are of is known once they are claimed. So a claim is for no more than the kind with least room has,
or a part of what the one with most room has; what does not fit after all goes back at once (`fits`), and the next claim
leaves its kind out.

How much is claimed beyond the slots goes by how many jobs end in a second, counted while there are some. So nothing is
claimed beyond them while all slots run long jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from steadypool.durable.worker.in_flight import HeldClaim, InFlight
from steadypool.durable.worker.kinds import SlotGroup
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.model.states import Outcome
from steadypool.rules import claim_size
from steadypool.rules.claim_size import Pace


@dataclass(frozen=True, slots=True)
class Ask:
    """One claim: from these queues, so many jobs at most, of other tasks than these."""

    queues: tuple[str, ...]
    limit: int
    others_than: tuple[str, ...] = ()


class Room:
    """Of one worker. On its loop.

    Args:
        groups: which kinds share how many slots.
        kinds: of each task that is known here.
    """

    def __init__(
        self, settings: WorkerSettings, groups: Sequence[SlotGroup], kinds: Mapping[str, str], in_flight: InFlight
    ) -> None:
        self._in_flight = in_flight
        self._own = dict(settings.queue_slots)
        self._others = [name for name in settings.queues if name not in self._own]
        self._groups = groups
        self._kinds = kinds
        self._paces = {group: Pace() for group in groups}
        self._since = dict.fromkeys(groups, 0.0)
        """The moment from which on the next ends of each group are counted."""
        self.shut: frozenset[str] = frozenset()
        """Kinds whose pools begin nothing now."""
        self._is_careful = False
        """The latest claim brought what did not fit: it asks for less."""
        self.slots = sum(group.slots for group in groups)

    def asks(self, now: float) -> list[Ask]:
        """The claims to make now; none while all has enough to do."""
        for group in self._groups:
            if not self._held(group):
                self._since[group] = now
        asks = list(self._all())
        self._others = [*self._others[1:], *self._others[:1]]  # no queue is always the first
        self._is_careful = False
        return asks

    def has_some(self) -> bool:
        """Whether there is any."""
        return any(True for _ in self._all())

    def _all(self) -> Iterable[Ask]:
        asks = [self._ask((name,), count) for name, count in self._own.items()]
        if self._others:
            asks.append(self._ask(tuple(self._others), None))
        return (ask for ask in asks if ask is not None)

    def fits(self, kind: str, queue: str) -> bool:
        """Whether a job that has been claimed can be held here."""
        if len(self._groups) == 1 and not self._own and not self.shut:
            return True
        group = self.group_of(kind)
        fits = kind not in self.shut and self._window(group, queue) > self._held(group, queue)
        fits = fits and (not self._own or self._window(group) > self._held(group))
        self._is_careful = self._is_careful or not fits
        return fits

    def note_ended(self, ended: Iterable[HeldClaim], now: float) -> None:
        """These have ended since the last time."""
        counts = Counter(held.kind for held in ended if held.future.outcome is not Outcome.RETURNED)
        for group in self._groups if counts else ():
            count = sum(counts[kind] for kind in group.kinds)
            if count:
                self._paces[group] = self._paces[group].after(count, now - self._since[group])
                self._since[group] = now

    def group_of(self, kind: str) -> SlotGroup:
        """The group of a kind."""
        return next(group for group in self._groups if kind in group.kinds)

    def beyond_slots(self, group: SlotGroup) -> int:
        """How many jobs of the group are held that have no slot."""
        return max(0, self._held(group) - group.slots)

    def close_window(self, group: SlotGroup) -> None:
        """Claim for free slots alone, until ends show that jobs of the group are short."""
        self._paces[group] = Pace()

    def _ask(self, queues: tuple[str, ...], own: int | None) -> Ask | None:
        rooms = {
            group: 0 if self.shut.issuperset(group.kinds) else self._room_of(group, None if own else queues[0])
            for group in self._groups
        }
        free = [room for room in rooms.values() if room > 0]
        if not free:
            return None
        limit = min(free) if self._is_careful else max(min(free), max(free) // claim_size.CLAIM_WORTH)
        if own is not None:
            limit = min(limit, own - sum(self._in_flight.counts[kind, queues[0]] for kind in self._all_kinds()))
        full = [kind for group, room in rooms.items() for kind in group.kinds if room <= 0 or kind in self.shut]
        others_than = tuple(name for name, kind in self._kinds.items() if kind in full) if full else ()
        return Ask(queues, limit, others_than) if limit > 0 else None

    def _room_of(self, group: SlotGroup, queue: str | None) -> int:
        """How many more jobs the group takes now; of a *queue* without slots of its own, if one is given."""
        pace, size = self._paces[group], self._in_flight.size
        room = claim_size.room(self._held(group), group.slots, pace, size)
        if queue is not None and self._own:
            left = max(1, group.slots - group.reserved)
            room = min(room, claim_size.room(self._held(group, queue), left, pace, size))
        return room

    def _window(self, group: SlotGroup, queue: str | None = None) -> int:
        is_other = queue is not None and self._own and queue not in self._own
        slots = max(1, group.slots - group.reserved) if is_other else group.slots
        return claim_size.window(slots, self._paces[group])

    def _held(self, group: SlotGroup, queue: str | None = None) -> int:
        """Jobs of the group that are held; of the queues without slots of their own, if *queue* is one."""
        counts, is_other = self._in_flight.counts, queue is not None and queue not in self._own
        if not is_other and len(self._groups) == 1:
            return len(self._in_flight.held)
        return sum(
            count
            for (kind, name), count in counts.items()
            if kind in group.kinds and not (is_other and name in self._own)
        )

    def _all_kinds(self) -> Iterable[str]:
        return (kind for group in self._groups for kind in group.kinds)
