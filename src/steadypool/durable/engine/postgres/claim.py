"""Claims: where each begins to look (`claim_cursor`), and whether it looks at lanes, too (`durable.engine.turns`).

As long as no job stands in a lane, a claim is a call of ``claim``, which says besides whether one does by now. Else it
is one of ``claim_turns``, which looks at both: of every second claim at the lanes first, so that neither starves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres.claim_cursor import ClaimCursor
from steadypool.durable.engine.postgres.session import Calls
from steadypool.durable.engine.records import LOOKED_PAST, Claim, ClaimResult, Settlement, topics_of
from steadypool.durable.engine.turns import Turns, earliest
from steadypool.model.clock import monotonic

_PAYLOAD = 11
_OF_TURNS = 19
"""Where in a row of ``claim_turns`` stands what ``claim`` does not have."""
_SETS = _OF_TURNS + 3
_OF_LANES = 14
"""The same of ``claim_gated``."""
_NOTHING_TO_SETTLE = ("{}", "{}", "{}", "{}", None, None)
_ASKED = (
    "%s, %s, %s, %s::bigint[], %s::bigint[], %s::int[], %s::bigint[], %b::bytea[], %s::text, %s::bigint[], "
    "%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s, %s, %s::float8, %s, %s"
)
_STOPS = "%s::text[], %s::text[], %s"


class _Found(NamedTuple):
    """What a claim gave: rows of jobs that need no turn, rows of others, and the rest."""

    ready: Sequence[Any]
    in_turn: Sequence[Any]
    answer: Sequence[Any]
    refused: frozenset[tuple[int, int]]
    look_in: float | None
    """Seconds until the lanes are to be looked at again."""


class PostgresClaims:
    """Those of one engine object."""

    def __init__(self, session: Calls, schema: str) -> None:
        self._session = session
        self._cursor = ClaimCursor()
        self._turns = Turns()
        self._seen = float("-inf")
        is_gated = f"CASE WHEN c.number IS NULL THEN {schema}.is_gated() END"
        self._plain = f"SELECT c.*, {is_gated} FROM {schema}.claim({_ASKED}) c"
        self._both = f"SELECT * FROM {schema}.claim_turns({_ASKED}, %s, %s, {_STOPS})"
        self._lanes = f"SELECT * FROM {schema}.claim_gated(%s, %s, %s, %s::text[], %s::text[], {_STOPS})"
        self._others = f"SELECT * FROM {schema}.claim_except(%s, %s, %s, %s::text[], %s::text[], %s)"

    def look_soon(self) -> None:
        """Something was put back, here: look from the beginning."""
        self._cursor.look_soon()

    def note_settled(self, settlements: Sequence[Settlement]) -> None:
        """These were written by another call."""
        if topics_of(settlements)[1]:
            self._cursor.look_soon()

    def claim(
        self,
        worker: int,
        queues: Sequence[str],
        limit: int,
        settlements: Sequence[Settlement],
        done: Sequence[int],
        most_bytes: int,
    ) -> ClaimResult:
        """See `Engine.claim`."""
        now = monotonic()
        ranges = self._cursor.ranges(queues)
        settled = rows.settle_values(settlements, self._session.encoding) if settlements else _NOTHING_TO_SETTLE
        asked = [
            *(worker, max(0, limit), most_bytes, *settled, rows.bigints(done), list(queues)),
            *(ranges.queue, *map(rows.bigints, ranges[1:])),
            *(self._cursor.must_look(now), self._cursor.may_look(now), self._seen, *topics_of(settlements)),
        ]
        freed = sum(settlement.claim.turn is not None for settlement in settlements)
        found = self._claim_both(asked, freed) if self._turns.looks(freed) else self._claim_plain(asked)
        self._note(found, limit)
        self.note_settled(settlements)
        _, cancels, next_due, *_ = found.answer[_OF_LANES:]
        count, size = (
            len(found.ready) + len(found.in_turn),
            sum(len(r[_PAYLOAD]) for r in (*found.ready, *found.in_turn)),
        )
        return ClaimResult(
            (*rows.claims_of(found.ready, queues), *rows.claims_in_turn(found.in_turn, _OF_TURNS)),
            found.refused,
            rows.cancels_of(cancels or ()),
            earliest(next_due, found.look_in if count < limit else None),
            0 < limit == count or size >= most_bytes,
        )

    def claim_except(
        self, worker: int, queues: Sequence[str], limit: int, tasks: Collection[str], most_bytes: int
    ) -> tuple[Claim, ...]:
        """See `Engine.claim_except`."""
        found = self._session.call(self._others, [worker, limit, most_bytes, list(queues), list(tasks), LOOKED_PAST])
        self._cursor.look_soon()
        claims = rows.claims_of(found, queues)
        if len(claims) < limit and self._turns.looks(0):
            left = limit - len(claims), most_bytes - sum(len(claim.payload) for claim in claims)
            taken, _ = self._look_at_lanes([worker, *left, list(queues), list(tasks)], len(claims))
            claims += rows.claims_in_turn(taken, _OF_LANES)
        return tuple(claims)

    def _claim_plain(self, asked: Sequence[Any]) -> _Found:
        *found, answer = self._session.call(self._plain, asked)
        self._turns.found(answer[_OF_TURNS])
        look_in = self._turns.until_look
        in_turn: Sequence[Any] = ()
        worker, limit, most_bytes = asked[:3]
        left = most_bytes - sum(len(row[_PAYLOAD]) for row in found)
        if look_in == 0.0 and len(found) < limit and left > 0:  # they are there since this call: none has looked yet
            queues = asked[10]
            taken, look_in = self._look_at_lanes([worker, limit - len(found), left, queues, []], len(found))
            in_turn = [(*row[:_OF_LANES], *(None,) * (_OF_TURNS - _OF_LANES), *row[_OF_LANES:]) for row in taken]
        return _Found(found, in_turn, answer, rows.pairs(answer[_OF_LANES]), look_in)

    def _claim_both(self, asked: Sequence[Any], freed: int) -> _Found:
        count = self._turns.next_count()
        *found, told = self._session.call(self._both, [*asked, count % 2 == 1, freed, *self._stops(count)])
        [answer] = [row for row in found if row[0] is None and row[_SETS] is None]
        in_turn = [row for row in found if row[_OF_TURNS] is not None]
        ready = [row for row in found if row[0] is not None and row[_OF_TURNS] is None]
        look_in = None
        looked = [row[_OF_TURNS + 2 :] for row in found if row[_SETS] is not None]
        if looked:
            [(look_in, sets, stops)] = looked
            self._turns.found(bool(sets))
            self._turns.looked(len(in_turn), len(ready), rows.stops_of(in_turn, _OF_TURNS, sets, stops))
        return _Found(ready, in_turn, answer, rows.pairs(answer[_OF_LANES] + (told[_OF_LANES] or [])), look_in)

    def _look_at_lanes(self, asked: Sequence[Any], others: int) -> tuple[Sequence[Any], float | None]:
        *taken, told = self._session.call(self._lanes, [*asked, *self._stops(self._turns.next_count())])
        look_in, sets, stops = told[_OF_LANES + 2 :]
        self._turns.found(bool(sets))
        self._turns.looked(len(taken), others, rows.stops_of(taken, _OF_LANES, sets, stops))
        return taken, look_in

    def _stops(self, count: int) -> tuple[list[str], list[str], int]:
        stops = self._turns.stops()
        return list(stops), list(stops.values()), count

    def _note(self, found: _Found, limit: int) -> None:
        """Learn from an answer where to look the next time."""
        seen, took = found.answer[_OF_TURNS - 2 : _OF_TURNS]
        entries = [(row[9], row[10], row[0]) for row in found.ready]
        # A look from the beginning that has not found the end: what follows may lie before the marks, too.
        is_cut = took is not None and len(found.ready) + len(found.in_turn) == limit
        self._cursor.claimed(entries, from_the_beginning=is_cut)
        if limit > 0:
            self._seen = float("-inf") if seen is None else seen  # not all that is due was promoted
        if took is not None:
            self._cursor.looked(monotonic(), took)
