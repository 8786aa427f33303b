"""The error ledger as text for people: each group with its latest job and its traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steadypool.model.printable import printable, printable_lines
from steadypool.model.quantities import clock_time

if TYPE_CHECKING:
    from steadypool.model.reports import ErrorGroup

MOST_GROUPS = 20


def errors_text(groups: Sequence[ErrorGroup]) -> str:
    """The most frequent groups. Arguments are in it as the pool shows them, tracebacks as the ledger keeps them."""
    parts = ["\n".join(_lines(group)) for group in groups[:MOST_GROUPS]]
    if len(groups) > MOST_GROUPS:
        parts.append(f"... and {len(groups) - MOST_GROUPS} more groups")
    return "\n\n".join(parts or ["nothing has failed"]) + "\n"


def _lines(group: ErrorGroup) -> list[str]:
    times = f"first {clock_time(group.first_seen)}, last {clock_time(group.last_seen)}, {group.rate * 60:.1f} a minute"
    return [
        printable(f"{group.count:,} x {group.task}: {group.type_name}: {group.message}"),
        f"  at {printable(group.where) or 'an unknown place'}; {times}",
        printable(f"  latest job: {group.sample}"),
        *(f"    {line}" for line in printable_lines(group.traceback.rstrip()).split("\n")),
    ]
