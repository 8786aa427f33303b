"""Claims: from `ready` (`sqlite.claim`), and from lanes (`sqlite.lanes`); of every second claim from lanes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from steadypool.durable.engine.records import Claim, ClaimResult, Settlement, topics_of
from steadypool.durable.engine.sqlite import claim, lanes, settle
from steadypool.durable.engine.sqlite.claim import Wanted
from steadypool.durable.engine.sqlite.clock import now_of
from steadypool.durable.engine.sqlite.lanes import Look
from steadypool.durable.engine.sqlite.notify import Bells
from steadypool.durable.engine.sqlite.store import Transactions
from steadypool.durable.engine.turns import Turns, earliest


class SqliteClaims:
    """Those of one engine object."""

    def __init__(self, store: Transactions, bells: Bells) -> None:
        self._store = store
        self._bells = bells
        self._turns = Turns()

    def claim(
        self, worker: int, wanted: Wanted, settlements: Sequence[Settlement] = (), done: Sequence[int] = ()
    ) -> ClaimResult:
        """See `Engine.claim`."""
        if not settlements and not done:
            with self._store.look() as connection:
                answer = self._nothing(connection, wanted)
            if answer is not None:
                return answer
        freed = sum(settlement.claim.turn is not None for settlement in settlements)
        with self._store.write() as connection:
            now = now_of(connection)
            refused, let_go = settle.settle(connection, settlements, now)
            settle.drop_leases(connection, worker, done, now)
            claim.promote(connection, now)
            answer = replace(self._take(connection, worker, wanted, freed), refused=refused)
            taken = sum(one.turn is not None for one in answer.claims)
            has_places = let_go or (freed > taken and lanes.is_any(connection))
        self._notify_of(settlements, has_places)
        return answer

    def claim_except(self, worker: int, wanted: Wanted) -> tuple[Claim, ...]:
        """See `Engine.claim_except`."""
        with self._store.look() as connection:
            now = now_of(connection)
            is_there = claim.is_there(connection, wanted) or claim.is_something_due(connection, now)
            if not is_there and not self._is_in_lanes(connection, wanted):
                return ()
        with self._store.write() as connection:
            claim.promote(connection, now_of(connection))
            return self._take(connection, worker, wanted, 0).claims

    def settle_many(self, settlements: Sequence[Settlement]) -> frozenset[tuple[int, int]]:
        """See `Engine.settle_many`."""
        with self._store.write() as connection:
            refused, let_go = settle.settle(connection, settlements, now_of(connection))
            has_places = let_go or (any(one.claim.turn is not None for one in settlements) and lanes.is_any(connection))
        self._notify_of(settlements, has_places)
        return refused

    def _nothing(self, connection: Any, wanted: Wanted) -> ClaimResult | None:
        """The answer, if a claim would find nothing: asked without writing, so that an idle worker does not."""
        now = now_of(connection)
        look_in = None
        if wanted.limit > 0:
            if claim.something_to_do(connection, wanted.queues, now):
                return None
            self._turns.found(lanes.is_any(connection))
            if self._turns.looks(0):
                found = self._look(connection, wanted._replace(limit=1))
                if found.finds:
                    return None
                self._turns.looked(0, 0, found.stops)
                look_in = found.look_in
            else:
                look_in = self._turns.until_look
        due = earliest(claim.next_due(connection, now), look_in)
        return ClaimResult(cancels=claim.wanted_cancels(connection), next_due=due)

    def _is_in_lanes(self, connection: Any, wanted: Wanted) -> bool:
        self._turns.found(lanes.is_any(connection))
        return self._turns.looks(0) and self._look(connection, wanted._replace(limit=1)).finds

    def _take(self, connection: Any, worker: int, wanted: Wanted, freed: int) -> ClaimResult:
        """Claim, in a transaction that has settled."""
        now, claims, look_in, is_cut = now_of(connection), list[Claim](), None, False
        if wanted.limit > 0 and claim.is_registered(connection, worker):
            self._turns.found(lanes.is_any(connection))
            if not self._turns.looks(freed):
                claims, is_cut = claim.claim(connection, worker, wanted, now)
                look_in = self._turns.until_look
            elif self._turns.next_count() % 2:
                found, claims = self._take_from_lanes(connection, worker, wanted)
                others, is_cut = claim.claim(connection, worker, _without(wanted, claims), now)
                look_in = self._note(found, claims, others)
                claims += others
            else:
                claims, is_cut = claim.claim(connection, worker, wanted, now)
                found, in_turn = self._take_from_lanes(connection, worker, _without(wanted, claims))
                look_in = self._note(found, in_turn, claims)
                claims += in_turn
        is_full = 0 < wanted.limit <= len(claims)
        return ClaimResult(
            tuple(claims),
            cancels=claim.wanted_cancels(connection),
            next_due=earliest(claim.next_due(connection, now), None if is_full else look_in),
            more=is_full or (is_cut and bool(claims)),
        )

    def _take_from_lanes(self, connection: Any, worker: int, wanted: Wanted) -> tuple[Look, list[Claim]]:
        found = self._look(connection, wanted)
        return found, lanes.claim(connection, worker, found)

    def _note(self, found: Look, in_turn: Sequence[Claim], others: Sequence[Claim]) -> float | None:
        if found.most > 0:
            self._turns.looked(len(in_turn), len(others), found.stops)
        return found.look_in

    def _look(self, connection: Any, wanted: Wanted) -> Look:
        return lanes.look(connection, wanted, self._turns.stops(), self._turns.count, now_of(connection))

    def _notify_of(self, settlements: Sequence[Settlement], has_places: bool) -> None:
        ends, work = topics_of(settlements)
        if ends:
            self._bells.ring("ends")
        if work or has_places:
            self._bells.ring("work")


def _without(wanted: Wanted, claims: Sequence[Claim]) -> Wanted:
    """What is left of it."""
    size = sum(len(one.payload) for one in claims)
    return wanted._replace(limit=wanted.limit - len(claims), most_bytes=wanted.most_bytes - size)
