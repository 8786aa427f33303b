"""Lists of jobs, the latest first: page by page, by the indices that there are, each page a short look.

Theory of operation: jobs stand in several tables, and which one says in which state they are. So for each state that is
wanted there is a **walk**: the numbers of one table from the highest down, in the order of an index. A walk is cut into
pages of rows, wanted ones or not, so that no look takes long, however rare those are that are wanted. The first page
is small: mostly it is enough.

Between two looks a job may go from one table to another. It is shown as it is when its record is read, once, and left
out if it is in none of the wanted states by then.

The statements are of the SQL that both engines speak; what differs is in `Dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from steadypool.durable.engine.records import LONGEST_SECONDS, JobFilter, JobRecord
from steadypool.durable.engine.states import ENDED, JobState

LARGEST_PAGE = 20_000
"""Rows that one look passes over at most: some ten milliseconds."""
MOST_GROUPS = 100
"""Priorities of queues with available jobs for which each is looked through on its own."""
TOP = 2**62
LIVE = frozenset(JobState) - ENDED


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an engine has for lists.

    The tables are ``jobs`` (number, queue, task, tags, enqueued_at), ``ready`` (queue, rank, number), ``delayed``
    (number, retry, due, task), ``gated`` and ``held`` (number), ``history`` (as ``jobs``, and state, ended_at) and
    ``errors`` (job, entry, type_name).
    """

    read: Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]]
    """Run one statement, with question marks and names of tables such as ``@ready``, as a look of its own."""
    is_due: str
    """Whether the moment of ``s`` has come, in a way that finds the index."""
    is_later: str
    """Whether it has not."""
    ago: str
    """The moment so many seconds ago, in the terms of ``enqueued_at``."""
    has_tag: str
    """Whether ``tags`` of ``{name}`` has a text."""
    live: Callable[[Sequence[int]], Sequence[JobRecord]]
    """The records of those among these numbers that have not ended."""
    ended: Callable[[Sequence[int]], Sequence[JobRecord]]
    """Of those that have."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The numbers of one table."""

    table: str
    where: str
    """What the index begins with, or all of the table is walked through."""
    values: tuple[Any, ...]
    records: Callable[[Sequence[int]], Sequence[JobRecord]]
    has_task: bool = False
    """Whether the table has queue and task of the job."""
    wanted: str = "1 = 1"
    """Which rows of the walk are wanted, and the values for that."""
    wanted_values: tuple[Any, ...] = ()


def list_jobs(dialect: Dialect, which: JobFilter) -> list[JobRecord]:
    """The latest jobs that *which* asks for."""
    for name in (which.queue, which.task, which.error_type, *which.tags):
        if name is not None:
            dialect.read("SELECT ? = ''", (name,))  # the store refuses what it cannot have, rows or none
    found: dict[int, JobRecord] = {}
    live = _live_walks(dialect, which) if which.ended_within is None else ()
    for walk in chain(live, _ended_walks(dialect, which)):
        for record in _along(dialect, walk, which):
            found.setdefault(record.number, record)
    return [found[number] for number in sorted(found, reverse=True)[: which.limit]]


# -- which walks there are


def _live_walks(dialect: Dialect, which: JobFilter) -> Iterator[Walk]:
    states = which.states & LIVE
    all_jobs = Walk("@jobs s", "1 = 1", (), dialect.live, has_task=True)
    if states == LIVE:
        yield all_jobs
        return
    if JobState.AVAILABLE in states:
        groups = list(_groups(dialect, which.queue))
        if len(groups) > MOST_GROUPS:
            yield all_jobs
            return
        for queue, rank in groups:
            yield Walk("@ready s", "s.queue = ? AND s.rank = ?", (queue, rank), dialect.live)
        yield Walk("@gated s", "1 = 1", (), dialect.live)
        if dialect.read(f"SELECT 1 FROM @delayed s WHERE {dialect.is_due} LIMIT 1", ()):
            yield from (_delayed(dialect, retry, dialect.is_due) for retry in (False, True))
    if JobState.SCHEDULED in states:
        yield _delayed(dialect, False, dialect.is_later)
    if JobState.RETRYABLE in states:
        yield _delayed(dialect, True, dialect.is_later)
    if JobState.RUNNING in states:
        yield Walk("@held s", "1 = 1", (), dialect.live)


def _ended_walks(dialect: Dialect, which: JobFilter) -> Iterator[Walk]:
    states = sorted(which.states & ENDED)
    if JobState.COMPLETED in states:  # mostly they are by far the most
        marks = ", ".join("?" for _ in states)
        values = tuple(state.value for state in states)
        yield Walk("@history s", "1 = 1", (), dialect.ended, True, f"s.state IN ({marks})", values)
        return
    for state in states:
        where = "s.state = ? AND s.state <> 'completed'"  # so the index on what was given up is known to have them
        yield Walk("@history s", where, (state.value,), dialect.ended, True)


def _delayed(dialect: Dialect, retry: bool, wanted: str) -> Walk:
    return Walk("@delayed s", "s.retry = ?", (retry,), dialect.live, wanted=wanted)


def _groups(dialect: Dialect, queue: str | None) -> Iterator[tuple[str, int]]:
    """Queues and ranks of what is available: a step in the index for each, one too many at most."""
    name, rank = (queue or "", -TOP)
    term = "queue >= ? AND (queue, rank) > (?, ?)" if queue is None else "queue = ? AND (queue, rank) > (?, ?)"
    for _ in range(MOST_GROUPS + 1):
        found = dialect.read(
            f"SELECT queue, rank FROM @ready WHERE {term} ORDER BY queue, rank LIMIT 1", (name, name, rank)
        )
        if not found:
            return
        [(name, rank)] = found
        yield name, rank


# -- going along one


def _along(dialect: Dialect, walk: Walk, which: JobFilter) -> Iterator[JobRecord]:
    below = TOP if which.below is None else which.below
    left, size = which.limit, which.limit
    while left > 0 and (low := _page(dialect, walk, below, size)) is not None:
        numbers = _wanted(dialect, walk, which, below, low, left)
        records = [record for record in walk.records(numbers) if record.state in which.states]
        yield from records
        below = low if len(numbers) < left else numbers[-1]
        left -= len(records)
        size = min(LARGEST_PAGE, size * 4)


def _page(dialect: Dialect, walk: Walk, below: int, size: int) -> int | None:
    """The last number of a page of so many rows."""
    [[found]] = dialect.read(
        f"SELECT min(number) FROM (SELECT s.number FROM {walk.table} WHERE {walk.where} AND s.number < ? "
        "ORDER BY s.number DESC LIMIT ?) AS page",
        (*walk.values, below, size),
    )
    low: int | None = found
    return low


def _wanted(dialect: Dialect, walk: Walk, which: JobFilter, below: int, low: int, limit: int) -> list[int]:
    """The numbers on the page that are wanted, *limit* at most."""
    table, name = (walk.table, "s") if walk.has_task else (f"{walk.table} JOIN @jobs j ON j.number = s.number", "j")
    filters = list(_filters(dialect, name, which))
    found = dialect.read(
        f"SELECT s.number FROM {table if filters else walk.table} WHERE {walk.where} AND s.number < ? AND "
        f"s.number >= ? AND {walk.wanted}{''.join(f' AND {condition}' for condition, _ in filters)} "
        "ORDER BY s.number DESC LIMIT ?",
        (*walk.values, below, low, *walk.wanted_values, *(value for _, values in filters for value in values), limit),
    )
    return [number for [number] in found]


_LAST_ERROR = (
    "(SELECT '.' || e.type_name AS name FROM @errors e WHERE e.job = s.number ORDER BY e.entry DESC LIMIT 1) last"
)


def _ends_with(text: str) -> str:
    """Whether a text ends with another, which is given twice; as both engines say it."""
    return f"substr({text}, length({text}) - length(?) + 1) = ?"


def _filters(dialect: Dialect, name: str, which: JobFilter) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Conditions on a job, whose row is called *name*, and their values."""
    if which.queue:
        yield f"{name}.queue = ?", (which.queue,)
    if which.task:
        yield f"({name}.task = ? OR {_ends_with(f'{name}.task')})", (which.task, *(f".{which.task}",) * 2)
    for tag in which.tags:
        yield dialect.has_tag.format(name=name), (tag,)
    if which.error_type is not None:
        yield f"EXISTS (SELECT 1 FROM {_LAST_ERROR} WHERE {_ends_with('last.name')})", (f".{which.error_type}",) * 2
    ages = (
        ("enqueued_at <=", which.older_than),
        ("enqueued_at >=", which.younger_than),
        ("ended_at >=", which.ended_within),
    )
    for compared, seconds in ages:
        if seconds is not None:
            yield f"{name}.{compared} {dialect.ago}", (float(min(seconds, LONGEST_SECONDS)),)
