"""``steadypool limits``: look at limits, and set them by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from steadypool.cli.exit_codes import DONE, UsageError
from steadypool.cli.option_types import Length
from steadypool.cli.queue.output import echo_json, echo_list
from steadypool.cli.queue.target import as_usage_errors, group_url_option, json_option, queue_at, url_option
from steadypool.durable.client.limits import LimitInfo
from steadypool.model.printable import printable

HEADINGS = ("name", "key", "running", "starts", "over", "now running", "now waiting", "set by")

key_option = click.option("--key", "-k", metavar="TEXT", help="For this key of the limit alone.")


@click.group("limits")
@group_url_option
def limits_group() -> None:
    """Look at limits, and set them by hand.

    \b
        steadypool limits list --url sqlite:///jobs.db
        steadypool limits set stripe --running 2
        steadypool limits set sync --key 42 --starts 10 --per 1m
        steadypool limits reset stripe

    NAME is the limit's; or its task's without the module, if it has none of its own, where that is unique.
    """


@limits_group.command("list")
@url_option
@json_option
def list_command(url: str | None, as_json: bool) -> int:
    """Every limit that a worker has declared, what holds for it now, and how many of its jobs run and wait."""
    with as_usage_errors():
        found = queue_at(url).limits.list()
    if as_json:
        return echo_json(*map(asdict, found))
    return echo_list(HEADINGS, found, _cells, "no limits: a worker declares those of its tasks when it starts")


@limits_group.command("set")
@click.argument("name", metavar="NAME")
@key_option
@click.option("--running", "-r", type=int, help="So many may run at one time; 0: none is started any more.")
@click.option("--starts", "-s", type=int, help="So many may start in the time of --per.")
@click.option("--per", type=Length(), help="That time.")
@click.option("--burst", "-b", type=int, help="So many may start at once after a rest.")
@url_option
def set_command(name: str, key: str | None, url: str | None, **values: Any) -> int:
    """Set a limit for the whole fleet, until it is reset: a deploy does not change that.

    What is left out stays as it is.
    """
    if all(value is None for value in values.values()):
        raise UsageError(
            f"limits set needs something to set: --running, --starts with --per, or --burst; as in limits set {name} "
            "--running 2"
        )
    with as_usage_errors():
        queue_at(url).limits.set(name, key=key, **values)
    click.echo(printable(f"{_named(name, key)} is set"))
    return DONE


@limits_group.command("reset")
@click.argument("name", metavar="NAME")
@key_option
@url_option
def reset_command(name: str, key: str | None, url: str | None) -> int:
    """Have what the code says hold again: of a limit and all of its keys, or of one key."""
    with as_usage_errors():
        was_set = queue_at(url).limits.reset(name, key=key)
    click.echo(printable(f"{_named(name, key)} {'is reset' if was_set else 'was not set by hand'}"))
    return DONE


def _named(name: str, key: str | None) -> str:
    return name if key is None else f"{name}, key {key!r},"


def _cells(info: LimitInfo) -> list[str]:
    starts = "" if info.starts is None or info.per is None else f"{info.starts} in {info.per:g} s"
    if starts and info.burst is not None:
        starts += f", {info.burst} at once"
    return [
        info.name,
        info.key or "",
        "" if info.running is None else str(info.running),
        starts,
        info.over,
        "" if info.key else f"{info.now_running:,}",
        "" if info.key else f"{info.now_waiting:,}",
        "hand" if info.by_hand else "code",
    ]
