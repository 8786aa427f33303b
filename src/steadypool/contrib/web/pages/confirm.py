"""How many jobs it would be: asked before many are changed."""

from __future__ import annotations

from typing import Any

from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.changes import JOBS, changeable, ids_in
from steadypool.contrib.web.filters import Chosen
from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.pages.jobs import PASSED_OVER
from steadypool.contrib.web.shown import line
from steadypool.durable.engine.states import JobState


def page(look: Look) -> Page:
    """The page."""
    fields = look.request.query
    kind = JOBS.get(fields.get("action"))
    if kind is None:
        raise Refusal("400 Bad Request", f"there is no way to {line(fields.get('action') or 'do nothing', 40)} jobs")
    if not fields.get("all"):
        ids = ids_in(fields)
        values: dict[str, Any] = {"kind": kind, "ids": ids, "count": (len(ids), True), "pairs": [], "states": []}
        return Page("confirm", f"{kind.capitalize()} jobs", values, moves=False)
    chosen = Chosen.of(fields, look.arguments == "shown")
    which = changeable(kind, chosen.filter())
    count = look.reader.read(("count", which), lambda engine: engine.figures.count(which, PASSED_OVER))
    pairs = [(name, value) for name, value in chosen.pairs() if value]
    states = [state.value for state in JobState if state in which.states]
    values = {"kind": kind, "ids": (), "count": count, "pairs": pairs, "states": states}
    return Page("confirm", f"{kind.capitalize()} jobs", values, moves=False)
