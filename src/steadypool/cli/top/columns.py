"""Rows in columns that fill a width: some columns have theirs, the others share the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

INDENT, GAP = 2, 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column. It has a *width*, or a *share* of what the others leave."""

    heading: str
    width: int = 0
    share: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], styles: Sequence[str], width: int) -> list[Text]:
    """A heading and the rows, each a line of that *width*."""
    widths = _widths(columns, width)
    heading = _line(columns, widths, [column.heading for column in columns], "bold")
    return [heading, *(_line(columns, widths, cells, style) for cells, style in zip(rows, styles, strict=True))]


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    left = width - INDENT - GAP * (len(columns) - 1) - sum(column.width for column in columns)
    shares = sum(column.share for column in columns)
    return [column.width or max(1, left * column.share // shares) for column in columns]


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str], style: str) -> Text:
    line = Text(" " * INDENT)
    for number, (column, room, cell) in enumerate(zip(columns, widths, cells, strict=True)):
        text = Text(printable(cell))
        text.truncate(room, overflow="ellipsis")
        space = " " * (room - text.cell_len)
        line.append(" " * GAP if number else "").append(space if column.right else "")
        line.append_text(text).append("" if column.right else space)
    line.stylize(style, INDENT)
    return line


def printable(cell: str) -> str:
    """What a program says must not move the cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in cell)
