"""Rows in columns that fit a width: some columns have theirs, the others share the rest, as far as they need it.

A gap is hard to read across: on a wide screen a column does not grow beyond what it is for, and what is left stays
empty at the right. Widths do not follow what is in the cells, or everything would jump at each look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from steadypool.model.printable import printable

INDENT, GAP = 2, 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column. It has a *width*, or a *share* of what the others leave, *most* of it if that is not 0."""

    heading: str
    width: int = 0
    share: int = 0
    most: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], styles: Sequence[str], width: int) -> list[Text]:
    """A heading and the rows, each a line of that *width* at most."""
    widths = _widths(columns, width)
    heading = _line(columns, widths, [column.heading for column in columns], "bold")
    return [heading, *(_line(columns, widths, cells, style) for cells, style in zip(rows, styles, strict=True))]


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    widths = [column.width for column in columns]
    left = width - 2 * INDENT - GAP * (len(columns) - 1) - sum(widths)
    open_to_more = [number for number, column in enumerate(columns) if column.share]
    # Those first that need least beside their share: what they leave goes to the others.
    for number in sorted(open_to_more, key=lambda number: (columns[number].most or width) / columns[number].share):
        shares = sum(columns[other].share for other in open_to_more)
        part = max(1, left * columns[number].share // shares)
        widths[number] = min(part, columns[number].most or part)
        left -= widths[number]
        open_to_more.remove(number)
    return widths


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
