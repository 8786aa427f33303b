"""The list of jobs: by state and filter, a page at a time."""

from __future__ import annotations

from steadypool.contrib.web.filters import AGES, Chosen, number_in
from steadypool.contrib.web.look import Look, Page
from steadypool.durable.client.bulk import BY_ITSELF
from steadypool.durable.engine.pages import JobPage
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState

SHOWN = 50
PASSED_OVER = 10_000
"""Rows of a table that one look passes over."""
COUNTED = 10_001
HOUR = 3600.0
Counts = dict[str, tuple[int, bool]]


def page(look: Look) -> Page:
    """The page."""
    fields = look.request.query
    shows = look.arguments == "shown"
    chosen = Chosen.of(fields, shows)
    which = chosen.filter(below=number_in(fields.get("below")), limit=SHOWN)
    found = look.reader.read(("jobs", which, shows), lambda e: e.figures.page(which, PASSED_OVER, arguments=shows))
    values = {
        "jobs": found,
        "chosen": chosen,
        "is_first": which.below is None,
        "states": [state.value for state in JobState],
        "counts": _counts(look, chosen, which, found),
        "actions": [action for action, states in BY_ITSELF.items() if which.states & states],
        "shows_arguments": shows,
        "ages": AGES,
        "names": look.reader.read("names", _names, 10.0),
        "now": look.now(),
    }
    return Page("jobs", "Jobs", values)


def _counts(look: Look, chosen: Chosen, which: JobFilter, found: JobPage) -> Counts:
    """How many there are in each state; with a filter, as far as the first page has seen them."""
    if chosen.is_plain:
        return look.reader.read("counts", _count_states)
    return {chosen.state: (len(found.records), found.below is None)} if which.below is None else {}


def _count_states(engine: Engine) -> Counts:
    return {state.value: engine.figures.count(JobFilter(frozenset({state})), COUNTED) for state in JobState}


def _names(engine: Engine) -> tuple[list[str], list[str]]:
    """Tasks and queues, to choose from."""
    tasks = {one.task for one in engine.figures.by_task(HOUR)}  # of late
    return sorted(tasks)[:100], engine.figures.queues()[:100]
