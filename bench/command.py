"""``python -m bench [threads|processes|payloads ...] [--quick] [--json FILE] [--markdown] [--markdown-into FILE]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from rich.console import Console

from bench.machine import busy_share, describe, sentence
from bench.rounds import FULL, QUICK, Effort
from bench.tables import Table, rewrite_between_markers

FAMILIES = ("threads", "processes", "payloads", "aio", "sinks", "durable", "postgres", "limits")
BY_ITSELF = frozenset({"durable", "postgres", "limits"})
"""Measured only when named: they wait for the disk, and need the machine to themselves."""
LINE = 120
"""Columns of a line where there is no terminal to ask."""
MOST_SECONDS = 900
"""A run that hangs in a peer is ended after this."""


def main() -> None:
    """Measure, and write the tables."""
    parser = _parser()
    arguments = parser.parse_args()
    families = arguments.family or [name for name in FAMILIES if find_spec(f"bench.{name}") and name not in BY_ITSELF]
    if arguments.key and len(families) != 1:
        parser.error(f"--as names the section of one family; {len(families)} are to be measured")
    effort = QUICK if arguments.quick else FULL
    console = Console(stderr=arguments.markdown)
    if not console.is_terminal:
        console.width = LINE
    signal.alarm(MOST_SECONDS)
    machine = describe(busy_share())
    words = sentence(machine, families, effort.quick)
    console.print(words, "\n")
    begin = perf_counter()
    found: dict[str, list[Table]] = {}
    for name in families:
        found[name] = []
        for table in _tables(name, effort):
            found[name].append(table)
            table.print(console)
            console.print(f"  {perf_counter() - begin:.0f} s so far\n", style="dim")
    texts = {name: "\n".join(table.to_markdown() for table in tables) for name, tables in found.items()}
    if arguments.markdown:
        print(words, *texts.values(), sep="\n\n")
    if arguments.markdown_into:
        _rewrite(arguments.markdown_into, words, {arguments.key or name: text for name, text in texts.items()})
    if arguments.json:
        data = {name: [table.to_dict() for table in tables] for name, tables in found.items()}
        Path(arguments.json).write_text(json.dumps({"machine": machine, **data}, indent=2), encoding="utf-8")


def _tables(family: str, effort: Effort) -> Iterator[Table]:
    tables: Iterator[Table] = import_module(f"bench.{family}").tables(effort)
    return tables


def _rewrite(path: str, words: str, texts: dict[str, str]) -> None:
    sections = {name: f"{words}\n\n{text}" for name, text in texts.items()}
    for key in rewrite_between_markers(Path(path), sections):
        print(f"{path} has no place for it: write <!-- bench:{key} --> and <!-- /bench:{key} -->", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Steadypool and its peers side by side.")
    # The empty list: argparse checks it against the choices, too.
    parser.add_argument(
        "family",
        nargs="*",
        choices=[*FAMILIES, []],
        metavar="family",
        help=f"what to measure, of {', '.join(FAMILIES)}; by default everything",
    )
    parser.add_argument("--quick", action="store_true", help="under a minute; the figures are rougher")
    parser.add_argument("--json", metavar="FILE", help="write everything, every round too, to FILE")
    parser.add_argument("--markdown", action="store_true", help="write Markdown to stdout, the tables to stderr")
    parser.add_argument("--markdown-into", metavar="FILE", help="rewrite the tables between the markers in FILE")
    parser.add_argument("--as", dest="key", metavar="KEY", help="the markers for one family, as on another Python")
    return parser
