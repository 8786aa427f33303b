"""Where every running job of a pool is now, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.printable import printable, printable_lines
from steadypool.model.quantities import counted

if TYPE_CHECKING:
    from steadypool.model.reports import StuckJob
    from steadypool.pools.core.core import Core


MOST_REASONS = 20
"""Gates of limits that are named, those that hold back most jobs."""


def dump_text(core: Core) -> str:
    """Every running job with its stack; those that were asked to stop, and those that are stuck, say so.

    The stack of a worker process may take up to 0.1 s to come, one worker after the other.
    """
    rows = core.workers.running_rows()
    stats = core.stats()
    runs = f"runs {len(rows)}" if rows else "runs nothing"
    waits = f", {stats.waiting} wait" if stats.waiting else ""
    retries = f", {stats.retrying} wait for another attempt" if stats.retrying else ""
    lines = [f"pool {core.name!r} is {stats.state.value}, {runs}{waits}{retries}{':' if rows else ''}"]
    for row in rows:
        lines += _lines(row)
    lines += [
        f"  held back by {printable(why)}: {counted(count, 'job')}" for why, count in _most(core.limits.reasons())
    ]
    return "\n".join(lines) + "\n"


def _most(reasons: list[tuple[str, int]]) -> list[tuple[str, int]]:
    rest = reasons[MOST_REASONS:]
    return [*reasons[:MOST_REASONS], (f"{len(rest)} others", sum(count for _, count in rest))] if rest else reasons


def _lines(row: StuckJob) -> list[str]:
    told = f", asked to stop ({row.cause})" if row.cause else ""
    return [
        f"  {printable(row.id)} {printable(row.task)} for {row.running_for:.1f} s{told}",
        *(f"    {line}" for line in printable_lines(row.stack.rstrip()).split("\n")),
    ]
