"""How many jobs it would be: asked before many are changed."""

from __future__ import annotations

from typing import Any

from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.changes import JOBS, MOST_IDS, states_of
from steadypool.contrib.web.filters import Chosen
from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.pages.jobs import PASSED_OVER
from steadypool.contrib.web.shown import line
from steadypool.durable.client.bulk import with_states


def page(look: Look) -> Page:
    """The page."""
    fields = look.request.query
    kind = JOBS.get(fields.get("action"))
    if kind is None:
        raise Refusal("400 Bad Request", f"there is no way to {line(fields.get('action') or 'do nothing', 40)} jobs")
    ids = fields.all("id")
    if not fields.get("all"):
        if not 0 < len(ids) <= MOST_IDS:
            raise Refusal("400 Bad Request", f"choose jobs, {MOST_IDS} at most")
        values: dict[str, Any] = {"kind": kind, "ids": ids, "count": (len(ids), True), "pairs": [], "states": []}
        return Page("confirm", f"{kind.capitalize()} jobs", values, moves=False)
    chosen = Chosen.of(fields, look.arguments == "shown")
    try:
        which = with_states(kind, chosen.filter())
    except ValueError as error:
        raise Refusal("400 Bad Request", line(error)) from None
    count = look.reader.read(("count", which), lambda engine: engine.figures.count(which, PASSED_OVER))
    pairs = [(name, value) for name, value in chosen.pairs() if value]
    values = {"kind": kind, "ids": (), "count": count, "pairs": pairs, "states": states_of(which)}
    return Page("confirm", f"{kind.capitalize()} jobs", values, moves=False)
