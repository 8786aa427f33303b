"""Batches, the latest first; and one of them with its members."""

from __future__ import annotations

from steadypool.contrib.web.answer import Refusal, not_found
from steadypool.contrib.web.filters import number_in
from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.shown import line
from steadypool.durable.engine.batches import following_id, number_of_batch
from steadypool.durable.engine.states import JobState, state_named

SHOWN = 50
ALL = frozenset(JobState)


def page(look: Look) -> Page:
    """All of them, a page at a time."""
    before = _before(look.request.query.get("before"))
    found = look.reader.read(("batches", before), lambda engine: engine.batches.page(SHOWN + 1, before))
    values = {"batches": found[:SHOWN], "more": len(found) > SHOWN, "is_first": before is None, "now": look.now()}
    return Page("batches", "Batches", values)


def one(look: Look) -> Page:
    """One of them."""
    fields = look.request.query
    number = number_of_batch(fields.get("id").strip())
    row = None if number is None else look.reader.read(("batch", number), lambda engine: engine.batches.get(number))
    if row is None:
        raise not_found(f"there is no batch {line(fields.get('id'), 80)!r}, or its record was pruned")
    state, after = fields.get("state"), number_in(fields.get("after")) or 0
    states = _states(state)
    found = look.reader.read(
        ("members", row.number, state, after),
        lambda engine: engine.batches.members(row.number, states, after, SHOWN + 1),
    )
    values = {
        "batch": row,
        "members": found[:SHOWN],
        "more": len(found) > SHOWN,
        "after": after,
        "state": state,
        "states": [one.value for one in JobState],
        "follow": [following_id(row.number, "then")] * (row.then_at is not None)
        + [following_id(row.number, "finally")] * (row.has_finally and row.finished_at is not None),
        "now": look.now(),
    }
    return Page("batch", line(row.name, 80) or row.id, values, moves=row.finished_at is None)


def _states(state: str) -> frozenset[JobState]:
    try:
        return frozenset({state_named(state)}) if state else ALL
    except ValueError as error:
        raise Refusal("400 Bad Request", str(error)) from None


def _before(text: str) -> tuple[float, int] | None:
    if not text:
        return None
    moment, _, number = text.partition(":")
    try:
        return float(moment), int(number)
    except ValueError:
        raise Refusal("400 Bad Request", "that is no place in the list") from None
