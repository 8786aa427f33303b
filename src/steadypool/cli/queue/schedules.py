"""``steadypool schedules``: look at schedules, and change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import click

from steadypool.cli.exit_codes import DONE
from steadypool.cli.option_types import COUNT
from steadypool.cli.queue.output import change_each, echo_facts, echo_json, echo_list, moment
from steadypool.cli.queue.target import as_usage_errors, group_url_option, json_option, load_queue, queue_at, url_option
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.schedules import ScheduleHandle
from steadypool.durable.engine.errors import UnknownSchedule, WrongState
from steadypool.model.printable import printable

HEADINGS = ("name", "when", "task", "state", "next", "latest job", "jobs", "skipped")
LOOKED_AT = 50
"""Ticks by which the shortest time between two is found."""
_SHOWN = ("app", "release", "fired", "skipped", "last_job", "last_skip")

names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@click.group("schedules")
@group_url_option
def schedules_group() -> None:
    """Look at the schedules of a durable queue, and change them.

    \b
        steadypool schedules list --url sqlite:///jobs.db
        steadypool schedules next nightly
        steadypool schedules check app:queue

    NAME is the schedule's, or its task's without the module, where that is unique.
    """


@schedules_group.command("list")
@url_option
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--limit", type=COUNT, default=100, show_default=True, help="So many at most.")
@json_option
def list_command(url: str | None, task: str | None, limit: int, as_json: bool) -> int:
    """Every schedule that a worker has declared, or that was put at run time, by name."""
    with as_usage_errors():
        source = queue_at(url)
        found = source.schedules.list(task=task, limit=limit)
        now = source.engine.now()
    if as_json:
        return echo_json(*map(as_plain, found))
    return echo_list(HEADINGS, found, lambda handle: _cells(handle, now), "no schedules")


@schedules_group.command("show")
@click.argument("name", metavar="NAME")
@url_option
@json_option
def show_command(name: str, url: str | None, as_json: bool) -> int:
    """Everything about one schedule: what it puts, when, and what was skipped last."""
    with as_usage_errors():
        source = queue_at(url)
        handle, now = source.schedules.get(name), source.engine.now()
    return echo_json(as_plain(handle)) if as_json else echo_facts(_facts(handle, now))


@schedules_group.command("next")
@click.argument("name", metavar="NAME")
@click.option("--count", "-n", type=COUNT, default=5, show_default=True, help="So many.")
@url_option
def next_command(name: str, count: int, url: str | None) -> int:
    """The next ticks of one schedule, in its own zone."""
    with as_usage_errors():
        ticks = queue_at(url).schedules.get(name).next(count)
    for tick in ticks:
        click.echo(_shown(tick))
    return DONE


@schedules_group.command("check")
@click.argument("target", metavar="MODULE:QUEUE")
@click.option("--count", "-n", type=COUNT, default=3, show_default=True, help="So many ticks of each.")
def check_command(target: str, count: int) -> int:
    """Import QUEUE, and show the schedules that its tasks are declared with, without a store.

    \b
    Exit codes: 0   they are as they should be; what may be meant otherwise is a warning
                2   importing it fails, or arguments of a schedule do not fit; the message says why
    """
    queue = load_queue(target, None, needs_address=False)
    now = datetime.now().timestamp()
    with as_usage_errors():
        found = queue.schedules.declared(now)
    if not found:
        click.echo(f"no task of {printable(target)} has a schedule")
    for handle in found:
        ticks = handle.next(count, now=now)
        click.echo(f"{printable(handle.name)}: {handle.schedule}; next {', '.join(map(_shown, ticks))}")
        for warning in _warnings(queue, handle, now):
            click.echo(f"warning: {printable(handle.name)}: {warning}", err=True)
    return DONE


@schedules_group.command("pause")
@names_argument
@url_option
def pause_command(names: tuple[str, ...], url: str | None) -> int:
    """Stop schedules from putting jobs; a deploy does not change that."""
    return _change(url, names, ScheduleHandle.pause, "is paused")


@schedules_group.command("resume")
@names_argument
@url_option
def resume_command(names: tuple[str, ...], url: str | None) -> int:
    """Let schedules put jobs again, from their next tick on."""
    return _change(url, names, ScheduleHandle.resume, "is resumed")


@schedules_group.command("run")
@names_argument
@url_option
def run_command(names: tuple[str, ...], url: str | None) -> int:
    """Put one job of each now, paused or not; the ticks stay as they are."""
    return _change(url, names, lambda handle: f"has put {handle.run().job_id}", "")


@schedules_group.command("remove")
@names_argument
@url_option
def remove_command(names: tuple[str, ...], url: str | None) -> int:
    """Forget schedules. One that is declared in code comes back with the next start of a worker."""
    return _change(url, names, ScheduleHandle.remove, "is removed")


def _change(url: str | None, names: tuple[str, ...], change: Callable[[ScheduleHandle], str | None], done: str) -> int:
    """Change each; *change* returns something else to say than *done*."""
    queue = queue_at(url)
    return change_each(names, lambda name: change(queue.schedules.get(name)) or done, (UnknownSchedule, WrongState))


# -- what is shown


def _shown(tick: datetime) -> str:
    return tick.isoformat(" ", "seconds")


def _cells(handle: ScheduleHandle, now: float) -> list[str]:
    row = handle.row
    return [
        handle.name,
        str(handle.schedule),
        handle.task,
        handle.state,
        _shown(handle.next(now=now)[0]) if handle.state == "active" else "",
        row.last_job or "",
        f"{row.fired:,}",
        f"{row.skipped:,}",
    ]


def _facts(handle: ScheduleHandle, now: float) -> dict[str, Any]:
    row = handle.row
    job = json.loads(row.job)
    rest = {name: value for name, value in job.items() if name not in ("task", "payload")}
    return {
        "name": handle.name,
        "when": handle.schedule,
        "definition": row.definition,
        "task": handle.task,
        "arguments": json.dumps(job.get("payload", {})),
        "options": json.dumps(rest) if rest else None,
        "kept by": f"the code of {row.app}" if row.in_code else "data",
        "state": handle.state,
        "next": ", ".join(map(_shown, handle.next(3, now=now))),
        "latest tick": None if row.last_due is None else moment(row.last_due, now),
        **{name.replace("_", " "): getattr(row, name) for name in _SHOWN[1:]},
        "skipped at": None if row.last_skip_at is None else moment(row.last_skip_at, now),
        "gone since": None if row.retired_at is None else moment(row.retired_at, now),
    }


def as_plain(handle: ScheduleHandle) -> dict[str, Any]:
    """The schedule as JSON carries it."""
    row = handle.row
    parts = {"definition": json.loads(row.definition), "job": json.loads(row.job)}
    return {**row._asdict(), **parts, "state": handle.state}


def _warnings(queue: Queue, handle: ScheduleHandle, now: float) -> Iterator[str]:
    timeout = queue.tasks[handle.task].task_options.timeout
    ticks = handle.next(LOOKED_AT, now=now)
    shortest = min((later - tick for tick, later in pairwise(ticks)), default=None)
    if handle.schedule.overlap != "allow" or shortest is None:
        return
    if timeout is None or timeout > shortest.total_seconds():
        limit = "no timeout" if timeout is None else f"timeout={timeout:g}"
        yield f"its jobs may overlap: {limit}, and a tick each {shortest}; overlap='skip' runs one at a time"
