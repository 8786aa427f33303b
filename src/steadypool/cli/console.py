"""What is said at the end: the drain report and the list of errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from steadypool.model.printable import printable
from steadypool.model.quantities import clock_time, counted

if TYPE_CHECKING:
    from steadypool import DrainReport, ErrorGroup

LOG_WIDTH = 160
"""Columns where there is no terminal to ask."""
GROUPS_SHOWN = 20


def console_on(*, stderr: bool) -> Console:
    """A console on standard error or standard output, wide where there is no terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)


def say(console: Console, text: str) -> None:
    """A line as it is: no markup, no colours, and folded by the terminal alone."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_report(console: Console, report: DrainReport) -> None:
    """The report as it is, without its errors: they get lines of their own. A terminal folds it between words."""
    console.print(Text(str(replace(report, errors=()))), soft_wrap=not console.is_terminal)


def print_errors(console: Console, groups: tuple[ErrorGroup, ...]) -> None:
    """The groups of errors, the most frequent first."""
    if not groups:
        return
    for line in _error_lines(sorted(groups, key=lambda group: -group.count), console.width):
        console.print(line, soft_wrap=True, highlight=False)


def print_error_count(console: Console, groups: tuple[ErrorGroup, ...]) -> None:
    """One line for all errors: how many, and the most frequent."""
    if not groups:
        return
    total = sum(group.count for group in groups)
    most = max(groups, key=lambda group: group.count)
    several = f" in {counted(len(groups), 'group')}, most often" if len(groups) > 1 else ":"
    line = Text(f"{counted(total, 'error')}{several} {_what(most)} at {most.where or most.task}")
    line.truncate(console.width, overflow="ellipsis")
    console.print(line, soft_wrap=True, highlight=False)


def _error_lines(groups: list[ErrorGroup], width: int) -> Iterator[Text]:
    """Two lines for each group, none wider than *width*: what happened; and where, to whom and when."""
    total = sum(group.count for group in groups)
    yield Text(f"{counted(total, 'error')} in {counted(len(groups), 'group')}", "bold")
    for group in groups[:GROUPS_SHOWN]:
        what = Text(f"{group.count:>7,}  ").append(_what(group), "red")
        first, last = clock_time(group.first_seen), clock_time(group.last_seen)
        when = last if first == last else f"{first} to {last}"
        about = [group.where or group.task, f"latest {_shortened(group.sample)}" if group.sample else "", when]
        where = Text(f"{'':>9}{printable(', '.join(filter(None, about)))}", "dim")
        for line in (what, where):
            line.truncate(width, overflow="ellipsis")
            yield line
    if len(groups) > GROUPS_SHOWN:
        yield Text(f"{'':>9}and {counted(len(groups) - GROUPS_SHOWN, 'more group')}")


def _what(group: ErrorGroup) -> str:
    return printable(f"{group.type_name.removeprefix('steadypool.')}: {_first_line(group.message)}")


def _first_line(message: str) -> str:
    return printable(_shortened(message.partition("\n")[0]))


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
