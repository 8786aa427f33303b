"""One call of ``steadypool top``: from its options to the last word."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click
from rich.console import Console

from steadypool.cli.console import console_on, say
from steadypool.cli.exit_codes import DONE, UsageError
from steadypool.cli.top.frame import plain
from steadypool.cli.top.keys import Keyboard
from steadypool.cli.top.link import Link
from steadypool.cli.top.once import as_json, look_twice
from steadypool.cli.top.programs import find_program
from steadypool.cli.top.screen import Screen
from steadypool.cli.top.view import View
from steadypool.model.printable import printable


@dataclass(frozen=True, slots=True)
class TopOptions:
    """The command line of ``steadypool top``, one field for each option of it."""

    pid: int | None
    pool: str | None
    once: bool
    as_json: bool
    interval: float
    drain_timeout: float


def run(options: TopOptions) -> int:
    """Look at the program, once or until the user leaves."""
    program = None if options.pid is None else find_program(options.pid)  # the likelier mistake is reported first
    check(options)
    link = Link((program or find_program(None)).connect())
    try:
        return _print_once(link, options) if options.once else _watch(link, options)
    finally:
        link.close()


def check(options: TopOptions) -> None:
    """Refuse what cannot be shown.

    Raises:
        UsageError: naming what would be right.
    """
    if options.as_json and not options.once:
        raise UsageError("--json needs --once")
    if not options.once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal to draw on; for a script, use --once --json")


def _print_once(link: Link, options: TopOptions) -> int:
    view = View(options.drain_timeout)
    look_twice(link, view, options.interval)
    if options.pool is not None:
        _choose(view, options.pool)
    if options.as_json:
        click.echo(as_json(view, options.pool))
        return DONE
    console = console_on(stderr=False)
    for number in [view.number] if options.pool is not None else sorted(view.pools):
        view.number = number
        console.print(plain(view, console.width), soft_wrap=True, highlight=False)
    return DONE


def _watch(link: Link, options: TopOptions) -> int:
    console = Console()
    view = View(options.drain_timeout)
    wanted = [options.pool] if options.pool is not None else []

    def choose() -> None:
        if wanted:
            _choose(view, wanted.pop())

    try:
        Screen(console, link, view, Keyboard(sys.stdin.fileno()), options.interval).run(choose)
    finally:
        _say_how_it_ended(console, view)
    return DONE


def _say_how_it_ended(console: Console, view: View) -> None:
    """What would be gone with the screen."""
    reports = [ending.report for ending in view.endings.values()]
    if view.has_ended and not reports and view.snapshot is not None:
        reports = [f"process {view.snapshot.pid} has ended and did not say how"]
    for line in "\n".join(reports).splitlines():
        say(console, printable(line))


def _choose(view: View, name: str) -> None:
    if not view.choose_pool(name):
        names = ", ".join(sorted(repr(pool.stats.name) for pool in view.pools.values()))
        raise UsageError(f"there is no pool {name!r} in it, but {names}")
