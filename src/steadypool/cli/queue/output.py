"""What the commands of a durable queue print alike: lists, facts, moments, and what became of each change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from steadypool.cli.exit_codes import DONE, SOME_FAILED
from steadypool.cli.queue.target import as_usage_errors
from steadypool.model.printable import printable
from steadypool.model.quantities import length_text

Row = TypeVar("Row")
Refused = type[Exception] | tuple[type[Exception], ...]


def moment(at: float, now: float) -> str:
    """The local time, with its zone, and how long ago it was or is to come."""
    local = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    return f"{local} ({length_text(now - at)} ago)" if at <= now else f"{local} (in {length_text(at - now)})"


def echo_json(*rows: Mapping[str, Any]) -> int:
    """One object on each line."""
    for row in rows:
        click.echo(json.dumps(row))
    return DONE


def echo_facts(facts: Mapping[str, object]) -> int:
    """A line for each that there is."""
    for name, value in facts.items():
        if value not in (None, ""):
            click.echo(f"{name:14} {printable(str(value))}")
    return DONE


def echo_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output."""
    from rich.table import Table  # for those who have rows to show
    from rich.text import Text

    from steadypool.cli.console import console_on

    table = Table(*headings, box=None)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console_on(stderr=False).print(table)


def echo_list(headings: Sequence[str], rows: Sequence[Row], cells: Callable[[Row], Sequence[str]], none: str) -> int:
    """A table of the rows; of none, what *none* says."""
    if rows:
        echo_table(headings, map(cells, rows))
    else:
        click.echo(none)
    return DONE


def change_each(names: Iterable[str], change: Callable[[str], str], refused: Refused, as_json: bool = False) -> int:
    """Change each, and print what *change* says of it. One that is *refused* is an error; the others are changed."""
    code, done = DONE, ""
    for name in names:
        problem = None
        with as_usage_errors():
            try:
                done = change(name)
            except refused as error:
                problem, code = str(error), SOME_FAILED
        if as_json:
            echo_json({"id": name, "done": done if problem is None else None, "error": problem})
        elif problem is None:
            click.echo(printable(f"{name} {done}"))
        else:
            click.echo(f"Error: {printable(problem)}", err=True)
    return code
