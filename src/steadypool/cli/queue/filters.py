"""The options of ``steadypool jobs`` that say which jobs are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from steadypool.cli.exit_codes import UsageError
from steadypool.cli.option_types import LENGTH
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState

STATES = [state.value for state in JobState]
_OPTIONS = {
    "states": click.option(
        "--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated."
    ),
    "queue": click.option("--queue", metavar="NAME", help="Only of this named queue."),
    "task": click.option("--task", metavar="NAME", help="Only of this task, with its module or without."),
    "tags": click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag; may be repeated."),
    "error_type": click.option(
        "--error", "error_type", metavar="TYPE", help="Only if the last attempt that failed raised this: ValueError."
    ),
    "argument": click.option(
        "--argument", metavar="TEXT", help="Only with this text in the arguments, as JSON: '\"user\":42'."
    ),
    "older_than": click.option("--older-than", type=LENGTH, help="Only put longer ago than this: 2d, 1h30m."),
    "younger_than": click.option("--younger-than", type=LENGTH, help="Only put within this time."),
    "ended_within": click.option("--ended-within", type=LENGTH, help="Only ended within this time."),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which jobs are to be changed: those of these ids, or those that a filter finds."""

    job_ids: tuple[str, ...]
    which: JobFilter
    dry_run: bool


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* these options: it gets a `JobFilter` as ``which``."""

    @wraps(command)
    def with_filter(**given: Any) -> Any:
        which, _ = _filter_of(given)
        return command(**given, which=which)

    return _with_options(with_filter)


def chosen_jobs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* ids as arguments, or these options: it gets ``chosen``."""

    @wraps(command)
    def with_chosen(job_ids: tuple[str, ...], everything: bool, dry_run: bool, **given: Any) -> Any:
        which, is_filtered = _filter_of(given)
        if [bool(job_ids), is_filtered, everything].count(True) != 1:
            raise UsageError("give the ids of jobs, or a filter such as --task NAME, or --all: one of these three")
        if job_ids and dry_run:
            raise UsageError("--dry-run counts the jobs that a filter finds: leave it out, or give a filter, not ids")
        return command(**given, chosen=Chosen(job_ids, which, dry_run))

    with_all = click.option("--all", "everything", is_flag=True, help="All jobs that there are, without a filter.")
    counted = click.option("--dry-run", is_flag=True, help="Say how many jobs it would be, and change none.")
    ids = click.argument("job_ids", nargs=-1, metavar="[ID...]")
    return ids(_with_options(with_all(counted(with_chosen))))


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS.values()):
        command = option(command)
    return command


def _filter_of(given: dict[str, Any]) -> tuple[JobFilter, bool]:
    """The filter that these options say, which are taken out; and whether there was one of them."""
    chosen = {name: given.pop(name) for name in _OPTIONS}
    is_filtered = any(value not in (None, ()) for value in chosen.values())
    states = frozenset(map(JobState, chosen.pop("states"))) or frozenset(JobState)
    return JobFilter(states, **chosen), is_filtered
