"""Whose turn it is to be written: in the order of the input, or as they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from steadypool.cli.map.lines import Line


@dataclass(slots=True, eq=False)
class PendingLine:
    """A line that was handed to the pool."""

    line: Line
    ended: bool = False
    result: str | None = None
    """What to write for it; ``None`` for a line that gave no result."""


class Ordering(Protocol):
    """The tickets that are held; `len` says how many, and so how much memory they take."""

    def __len__(self) -> int: ...

    def enter(self, ticket: PendingLine) -> None:
        """Hold *ticket* until it has ended and its turn has come."""
        ...

    def leave(self, ticket: PendingLine) -> Iterator[PendingLine]:
        """*ticket* has ended: those whose turn has come by that."""
        ...


class InOrder:
    """A ticket's turn comes when all before it have had theirs."""

    def __init__(self) -> None:
        self._held: deque[PendingLine] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, ticket: PendingLine) -> None:
        """Hold *ticket*."""
        self._held.append(ticket)

    def leave(self, ticket: PendingLine) -> Iterator[PendingLine]:
        """Those at the head that have ended."""
        ticket.ended = True
        while self._held and self._held[0].ended:
            yield self._held.popleft()


class AsTheyEnd:
    """A ticket's turn comes when it ends."""

    def __init__(self) -> None:
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, ticket: PendingLine) -> None:
        """Count *ticket*."""
        self._count += 1

    def leave(self, ticket: PendingLine) -> Iterator[PendingLine]:
        """*ticket* itself."""
        self._count -= 1
        yield ticket
