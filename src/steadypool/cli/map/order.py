"""Whose turn it is to be written: in the order of the input, or as they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from steadypool.cli.map.lines import Line


@dataclass(slots=True, eq=False)
class PendingLine:
    """A line that was handed to the pool."""

    line: Line
    ended: bool = False
    result: str | None = None
    """What to write for it; ``None`` for a line that gave no result."""


class Turns:
    """The lines that are held; `len` says how many, and so how much memory they take.

    Args:
        ordered: a line's turn comes when all before it have had theirs; else, when it has ended.
    """

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._held: deque[PendingLine] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, line: PendingLine) -> None:
        """Hold *line* until it has ended and its turn has come."""
        self._count += 1
        if self._ordered:
            self._held.append(line)

    def leave(self, line: PendingLine) -> Iterator[PendingLine]:
        """*line* has ended: those whose turn has come by that."""
        line.ended = True
        if not self._ordered:
            self._held.append(line)
        while self._held and self._held[0].ended:
            self._count -= 1
            yield self._held.popleft()
