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
from typing import Any, NamedTuple

from steadypool.durable.engine.records import LONGEST_SECONDS, JobFilter, JobRecord
from steadypool.durable.engine.states import ENDED, JobState

LARGEST_PAGE = 20_000
"""Rows that one look passes over at most: some ten milliseconds."""
MOST_GROUPS = 100
"""Priorities of queues with available jobs for which each is looked through on its own."""
TOP = 2**62
LIVE = frozenset(JobState) - ENDED
_ALL = "1 = 1"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an engine has for lists.

    The tables are ``jobs`` (number, queue, task, tags, enqueued_at, payload), ``ready`` (queue, rank, number),
    ``delayed`` (number, retry, due, task), ``waiting``, ``gated`` and ``held`` (number), ``history`` (as ``jobs``, and
    state, ended_at) and ``errors`` (job, entry, type_name).
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
    has_argument: str
    """Whether ``payload`` of ``{name}`` has a text in it."""
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
    wanted: str = _ALL
    """Which rows of the walk are wanted, and the values for that."""
    wanted_values: tuple[Any, ...] = ()


def list_jobs(dialect: Dialect, which: JobFilter) -> list[JobRecord]:
    """The latest jobs that *which* asks for."""
    found: dict[int, JobRecord] = {}
    for walk in _walks(dialect, which):
        for record in _along(dialect, walk, which):
            found.setdefault(record.number, record)
    return [found[number] for number in sorted(found, reverse=True)[: which.limit]]


class JobPage(NamedTuple):
    """Some of the latest jobs."""

    records: Sequence[JobRecord]
    below: int | None
    """Where the next page begins (`JobFilter.below`); ``None``: there is none."""
    is_cut: bool
    """Whether the look ended for what it had passed over, and not for the jobs that it had found."""


def look(dialect: Dialect, which: JobFilter, most: int) -> JobPage:
    """The latest jobs, as `list_jobs` has them, but about *most* rows at most are passed over for them."""
    found: dict[int, JobRecord] = {}
    horizon = 0  # below this number not all tables were looked at
    walks = list(_walks(dialect, which))
    share = max(which.limit + 1, most // max(1, len(walks)))
    for walk in walks:
        numbers, low = _numbers(dialect, walk, which, share)
        horizon = max(horizon, low)
        for record in walk.records(numbers):
            if record.state in which.states:
                found.setdefault(record.number, record)
    numbers = sorted((number for number in found if number >= horizon), reverse=True)
    records = [found[number] for number in numbers[: which.limit]]
    if len(numbers) > which.limit:
        return JobPage(records, records[-1].number, False)
    return JobPage(records, horizon or None, horizon > 0)


def count(dialect: Dialect, which: JobFilter, most: int) -> tuple[int, bool]:
    """How many jobs *which* asks for, and whether that is all: about *most* rows at most are passed over for it."""
    total, is_all, left = 0, True, most
    below = TOP if which.below is None else which.below
    for walk in _walks(dialect, which):
        if left <= 0:
            return total, False
        low, rows = _rows(dialect, walk, below, left)
        is_all, left = is_all and rows < left, left - rows
        if low is not None and (walk.wanted != _ALL or _has_filters(dialect, which)):
            statement, values = _wanted_from(dialect, walk, which, below, low)
            [[rows]] = dialect.read(f"SELECT count(*) {statement}", values)
        total += rows
    return total, is_all


def _walks(dialect: Dialect, which: JobFilter) -> Iterator[Walk]:
    for name in (which.queue, which.task, which.error_type, which.argument, *which.tags):
        if name is not None:
            dialect.read("SELECT ? = ''", (name,))  # the store refuses what it cannot have, rows or none
    live = _live_walks(dialect, which) if which.ended_within is None else ()
    return chain(live, _ended_walks(dialect, which))


def _numbers(dialect: Dialect, walk: Walk, which: JobFilter, most: int) -> tuple[list[int], int]:
    """The wanted numbers of one walk, one more than the page has; and down to which number that is all (0: to the
    end)."""
    below = TOP if which.below is None else which.below
    numbers: list[int] = []
    low: int | None = None
    for size in (which.limit + 1, most):
        low, rows = _rows(dialect, walk, below, size)
        if low is None:
            return [], 0
        numbers = _wanted(dialect, walk, which, below, low, which.limit + 1)
        if len(numbers) > which.limit:
            return numbers, numbers[-1]
        if rows < size:
            return numbers, 0
    return numbers, low or 0


def _rows(dialect: Dialect, walk: Walk, below: int, size: int) -> tuple[int | None, int]:
    """The last number of a page of so many rows, and how many there are."""
    [[low, rows]] = dialect.read(
        f"SELECT min(number), count(*) FROM (SELECT s.number FROM {walk.table} WHERE {walk.where} AND s.number < ? "
        "ORDER BY s.number DESC LIMIT ?) AS page",
        (*walk.values, below, size),
    )
    return low, rows


def _has_filters(dialect: Dialect, which: JobFilter) -> bool:
    return any(True for _ in _filters(dialect, "", which))


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
    if JobState.WAITING in states:
        yield Walk("@waiting s", "1 = 1", (), dialect.live)
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
    for _ in range(MOST_GROUPS + 1):
        # Not by one comparison of both: SQLite would go through all entries of the name for it.
        found = dialect.read(
            "SELECT queue, rank FROM @ready WHERE queue = ? AND rank > ? ORDER BY queue, rank LIMIT 1", (name, rank)
        )
        if not found and queue is None:
            found = dialect.read("SELECT queue, rank FROM @ready WHERE queue > ? ORDER BY queue, rank LIMIT 1", (name,))
        if not found:
            return
        [(name, rank)] = found
        yield name, rank


# -- going along one


def _along(dialect: Dialect, walk: Walk, which: JobFilter) -> Iterator[JobRecord]:
    below = TOP if which.below is None else which.below
    left, size = which.limit, which.limit
    while left > 0 and (low := _rows(dialect, walk, below, size)[0]) is not None:
        numbers = _wanted(dialect, walk, which, below, low, left)
        records = [record for record in walk.records(numbers) if record.state in which.states]
        yield from records
        below = low if len(numbers) < left else numbers[-1]
        left -= len(records)
        size = min(LARGEST_PAGE, size * 4)


def _wanted(dialect: Dialect, walk: Walk, which: JobFilter, below: int, low: int, limit: int) -> list[int]:
    """The numbers on the page that are wanted, *limit* at most."""
    statement, values = _wanted_from(dialect, walk, which, below, low)
    found = dialect.read(f"SELECT s.number {statement} ORDER BY s.number DESC LIMIT ?", (*values, limit))
    return [number for [number] in found]


def _wanted_from(dialect: Dialect, walk: Walk, which: JobFilter, below: int, low: int) -> tuple[str, tuple[Any, ...]]:
    """Where the wanted rows of a page are, as the rest of a statement, and its values."""
    table, filters = walk.table, list(_filters(dialect, "s" if walk.has_task else "j", which))
    if filters and not walk.has_task:
        table = f"{table} JOIN @jobs j ON j.number = s.number"
        # PostgreSQL does not see that this follows, and would go through all jobs.
        filters.append(("j.number < ? AND j.number >= ?", (below, low)))
    return (
        f"FROM {table} WHERE {walk.where} AND s.number < ? AND s.number >= ? AND "
        f"{walk.wanted}{''.join(f' AND {condition}' for condition, _ in filters)}",
        (*walk.values, below, low, *walk.wanted_values, *(value for _, values in filters for value in values)),
    )


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
        # Not bare: PostgreSQL would expect hardly a job of such a task, and look up each of thousands on its own.
        yield (
            f"coalesce({name}.task = ? OR {_ends_with(f'{name}.task')}, false)",
            (which.task, *(f".{which.task}",) * 2),
        )
    for tag in which.tags:
        yield dialect.has_tag.format(name=name), (tag,)
    if which.argument:
        yield dialect.has_argument.format(name=name), (which.argument,)
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
