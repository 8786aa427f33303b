"""The error ledger as text for people: each group with its latest job and its traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadypool.model.reports import ErrorGroup

MOST_GROUPS = 20


def errors_text(groups: Sequence[ErrorGroup]) -> str:
    """The most frequent groups. Arguments are in it as the pool shows them, tracebacks as the ledger keeps them."""
    parts = [str(group) for group in groups[:MOST_GROUPS]]
    if len(groups) > MOST_GROUPS:
        parts.append(f"... and {len(groups) - MOST_GROUPS} more groups")
    return "\n\n".join(parts or ["nothing has failed"]) + "\n"
